"""The components for a take that goes on while it plays."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class PlayPanel:
    """The components for a take that goes on.

    Attributes:
        note: how long it has played, which the page writes itself.
        more: hidden button, with which the page asks for the next piece.
        sent: what the page sends: where it begins, or how much was heard.
        sound: the piece that was made last.
    """

    play_on: gr.Button
    stop: gr.Button
    note: gr.HTML
    more: gr.Button
    sent: gr.JSON
    sound: gr.JSON


def build_play_panel() -> PlayPanel:
    """Build *Play on*, *Stop*, and what belongs to them, into a row."""
    play_on = gr.Button("Play on", size="sm", min_width=110, elem_id="distill-prior-play-on")
    stop = gr.Button("Stop", size="sm", min_width=110, elem_id="distill-prior-stop")
    note = gr.HTML('<span role="timer"></span>', elem_id="distill-prior-play-note", padding=False)
    more = gr.Button("More", elem_id="distill-prior-more")
    return PlayPanel(play_on, stop, note, more, gr.JSON(visible=False), gr.JSON(visible=False))
