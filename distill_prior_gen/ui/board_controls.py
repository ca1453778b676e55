"""The components of the board, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from distill_prior_gen.config import GAP_LIMITS

MAX_ALTERNATIVES = 4
"""Largest number of alternatives that one click makes."""

LEVEL_NAMES = ("Structure", "Timbre", "Detail")


def level_name(level: int) -> str:
    """Name of a level of the codes, from 0."""
    return LEVEL_NAMES[level] if level < len(LEVEL_NAMES) else f"Level {level + 1}"


@dataclass(frozen=True)
class BoardPanel:
    """The board, and what works on it.

    Attributes:
        board: the picture of the take.
        regions: hidden value of the selected regions, which the browser fills in.
        alternatives: the states of the last edit, 0 for the one before it.
        thumbnails: a style sheet with small pictures of them.
        levels: which levels are edited.
        count: how many alternatives are made.
        switch: goes to the state that was shown before.
        keep: adds the edited take to the list.
        other: the take to lead to, or to blend with.
        gap: seconds between the two.
        amount: share of the other take.
    """

    board: gr.HTML
    regions: gr.JSON
    alternatives: gr.Radio
    thumbnails: gr.HTML
    levels: gr.CheckboxGroup
    count: gr.Radio
    redraw: gr.Button
    undo_edit: gr.Button
    redo_edit: gr.Button
    switch: gr.Button
    clear: gr.Button
    keep: gr.Button
    other: gr.Dropdown
    gap: gr.Slider
    fill: gr.Button
    amount: gr.Slider
    morph: gr.Button

    @property
    def values(self) -> list[Any]:
        """The components whose values an edit needs, in the order of `EditRequest`."""
        return [self.regions, self.levels, self.count, self.other, self.gap, self.amount]


def build_board_panel() -> BoardPanel:
    """Build the board and the controls below it."""
    board = gr.HTML(elem_id="distill-prior-board")
    regions = gr.JSON(visible=False)
    with gr.Row():
        redraw = gr.Button(
            "Redraw", variant="primary", size="sm", min_width=110, elem_id="distill-prior-redraw"
        )
        undo_edit = _button("Undo", "undo", interactive=False)
        redo_edit = _button("Redo", "redo", interactive=False)
        switch = _button("A/B", "switch")
        clear = _button("Clear", "clear")
        keep = _button("Keep as a take", "keep", interactive=False)
    alternatives = gr.Radio(
        [], label="Alternatives", visible=False, elem_id="distill-prior-alternatives"
    )
    thumbnails = gr.HTML(elem_id="distill-prior-thumbnails")
    with gr.Row():
        levels = gr.CheckboxGroup(
            [(name, level) for level, name in enumerate(LEVEL_NAMES)],
            value=list(range(len(LEVEL_NAMES))),
            label="Levels that change",
            elem_id="distill-prior-levels",
            min_width=240,
            scale=2,
        )
        count = gr.Radio(
            list(range(1, MAX_ALTERNATIVES + 1)),
            value=3,
            label="How many alternatives",
            min_width=270,
        )
    with gr.Accordion("With another take", open=False):
        other = gr.Dropdown([], label="Other take", interactive=True)
        with gr.Row():
            gap = gr.Slider(
                *GAP_LIMITS, 2.0, step=0.1, label="Seconds between", min_width=200, scale=3
            )
            fill = gr.Button("Fill between", size="sm", min_width=110)
        with gr.Row():
            amount = gr.Slider(
                0, 1, 0.5, step=0.05, label="How much of the other take", min_width=200, scale=3
            )
            morph = gr.Button("Morph", size="sm", min_width=110)
    return BoardPanel(
        board, regions, alternatives, thumbnails, levels, count, redraw, undo_edit, redo_edit,
        switch, clear, keep, other, gap, fill, amount, morph,
    )  # fmt: skip


def _button(label: str, name: str, interactive: bool = True) -> gr.Button:
    return gr.Button(
        label, size="sm", min_width=70, interactive=interactive, elem_id=f"distill-prior-{name}"
    )
