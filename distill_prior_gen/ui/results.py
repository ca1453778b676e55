"""What the Prior tab shows of takes, in the order in which it stands on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from distill_prior_gen.config import FORMATS, SAMPLE_RATES, ExportConfig

MOST_LETTERS = 200
"""Of a title, an artist or an album."""

COPY = "Copy command"


@dataclass(frozen=True)
class TakePanel:
    """The take that is shown, and those of the session.

    Attributes:
        repeat: whether the player begins again at the end.
        undo: brings back the take that was removed last.
        downloads: files on their way to the browser, which nobody sees.
        everything: what is hidden as long as there is no take.
        screen: that the page is on, see `Actions.details`; the page itself fills it in.
    """

    player: gr.Audio
    repeat: gr.Checkbox
    undo: gr.Button
    everything: gr.Column
    chosen: gr.Radio
    restore: gr.Button
    longer: gr.Button
    download: gr.Button
    downloads: gr.File
    remove: gr.Button
    words: gr.Markdown
    picture: gr.Image
    screen: gr.JSON
    command: gr.Textbox
    copy: gr.Button
    export: ExportPanel

    @property
    def shown(self) -> list[Any]:
        """What `Actions.show` gives values for."""
        return [
            self.player,
            self.words,
            self.command,
            self.longer,
            self.chosen,
            self.everything,
            self.undo,
            self.repeat,
        ]

    @property
    def details(self) -> list[Any]:
        """What `Actions.details` gives values for."""
        return [self.picture, self.export.saved, self.export.files]


@dataclass(frozen=True)
class ExportPanel:
    """How a take is written to a file, and the files.

    Attributes:
        values: format, sample rate and bit depth, title, artist and album.
    """

    values: list[Any]
    button: gr.Button
    saved: gr.Markdown
    files: gr.File


def take_panel() -> TakePanel:
    """Build the player and what belongs to the take in it."""
    player = gr.Audio(
        label="Take",
        interactive=False,
        elem_id="distill-prior-player",
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
    )
    undo = gr.Button("Undo", size="sm", visible=False)
    with gr.Column(visible=False) as everything:
        repeat = gr.Checkbox(label="Repeat", container=False)
        chosen = gr.Radio(
            choices=[],
            label="Takes of this session",
            info="One that you choose plays from where you are.",
            elem_id="distill-prior-takes",
        )
        with gr.Row():
            restore = gr.Button("Use its settings", size="sm", min_width=110)
            longer = gr.Button("Same seed, longer", size="sm", min_width=110)
            download = gr.Button("Download", size="sm", min_width=80)
            remove = gr.Button("Remove", size="sm", min_width=80)
        downloads = gr.File(file_count="multiple", visible=False)
        words = gr.Markdown()
        picture = gr.Image(
            label="Spectrum and codes",
            interactive=False,
            format="png",
            elem_id="distill-prior-picture",
        )
        screen = gr.JSON(visible=False)
        with gr.Row():
            command = gr.Textbox(
                label="The same on the command line",
                interactive=False,
                max_lines=4,
                scale=4,
                elem_id="distill-prior-command",
            )
            copy = gr.Button(COPY, size="sm", scale=1, min_width=120)
        with gr.Accordion("Export", open=False):
            export = _export_panel()
    return TakePanel(
        player, repeat, undo, everything, chosen, restore, longer, download, downloads, remove,
        words, picture, screen, command, copy, export,
    )  # fmt: skip


def _export_panel() -> ExportPanel:
    with gr.Row():
        format_ = gr.Dropdown(
            list(FORMATS), value=ExportConfig.format, label="Format", min_width=90
        )
        rate = gr.Dropdown(
            [("the model's", 0), *((f"{rate} Hz", rate) for rate in SAMPLE_RATES)],
            value=0,
            label="Sample rate",
            min_width=120,
        )
        depth = bit_depth(ExportConfig.format)
    with gr.Row():
        tags = [
            gr.Textbox(label=label, max_length=MOST_LETTERS, min_width=120)
            for label in ("Title", "Artist", "Album")
        ]
    button = gr.Button("Export")
    saved = gr.Markdown()
    files = gr.File(label="Download", interactive=False, visible=False)
    return ExportPanel([format_, rate, depth, *tags], button, saved, files)


def bit_depth(format_: str) -> gr.Dropdown:
    """The control for the bit depth, with the choices that a format has."""
    names = {16: "16", 24: "24", 32: "32 (float)"}
    depths = [(names[depth], depth) for depth in FORMATS[format_]]
    return gr.Dropdown(
        depths or [("none", 0)],
        value=24 if depths else 0,
        interactive=bool(depths),
        label="Bit depth",
        min_width=90,
    )
