"""The components that show takes, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from distill_prior_gen.formats import FORMATS, SAMPLE_RATES, ExportConfig
from distill_prior_gen.ui.board_controls import BoardPanel, build_board_panel
from distill_prior_gen.ui.play_on_controls import PlayPanel, build_play_panel

MAX_TAG_LENGTH = 200
"""Characters of a title, an artist or an album."""

COPY_LABEL = "Copy command"


SHOWN = (
    "player",
    "summary",
    "command",
    "longer",
    "takes",
    "body",
    "undo",
    "repeat",
    "remove",
    "message",
    "files",
    "board",
    "levels",
    "alternatives",
    "thumbnails",
    "undo_edit",
    "redo_edit",
    "keep",
    "other",
    "pictures",
    "older",
    "star",
    "play_on",
)
"""Names of the components that show a take, in the order of the endpoint."""


@dataclass(frozen=True)
class TakePanel:
    """The components for the shown take and for the list of takes.

    Attributes:
        repeat: whether the player starts again at the end.
        undo: brings back the take that was removed last.
        body: the components that are hidden while there is no take.
        playing: the components for a take that goes on.
        search: what the list is searched for.
        pictures: a style sheet with small pictures of the takes.
        older: shows more of the list.
        takes: the list of takes. Its value is the number of the shown take, or None for an edited
            one that is not kept.
        restore: puts the settings of the take back into the controls.
        downloads: hidden list of files for the browser to download.
        editing: the board, and what works on it.
    """

    player: gr.Audio
    repeat: gr.Checkbox
    undo: gr.Button
    body: gr.Column
    playing: PlayPanel
    search: gr.Textbox
    pictures: gr.HTML
    takes: gr.Radio
    older: gr.Button
    restore: gr.Button
    longer: gr.Button
    download: gr.Button
    downloads: gr.File
    star: gr.Button
    remove: gr.Button
    summary: gr.Markdown
    editing: BoardPanel
    command: gr.Textbox
    copy: gr.Button
    export: ExportPanel

    @property
    def take_outputs(self) -> list[Any]:
        """The components of `SHOWN`."""
        parts = vars(self) | vars(self.editing) | vars(self.playing) | vars(self.export)
        return [parts[name] for name in SHOWN]


@dataclass(frozen=True)
class ExportPanel:
    """The components for the export of a take.

    Attributes:
        values: format, sample rate, bit depth, title, artist, album and loudness.
        message: says where the take was saved.
        files: the files that can be downloaded.
    """

    values: list[Any]
    button: gr.Button
    message: gr.Markdown
    files: gr.File


def build_take_panel() -> TakePanel:
    """Build the player and the components that belong to its take."""
    player = gr.Audio(
        label="Take",
        interactive=False,
        elem_id="distill-prior-player",
        waveform_options=gr.WaveformOptions(show_recording_waveform=False),
    )
    undo = gr.Button("Undo", size="sm", visible=False)
    with gr.Column(visible=False) as body:
        with gr.Row(elem_id="distill-prior-playing"):
            playing = build_play_panel()
            repeat = gr.Checkbox(label="Repeat", container=False)
        search = gr.Textbox(
            label="Search takes",
            placeholder="seed 7, loop, temperature 0.8, starred",
            max_lines=1,
            elem_id="distill-prior-search",
        )
        pictures = gr.HTML(elem_id="distill-prior-pictures")
        takes = gr.Radio(
            choices=[],
            label="Takes",
            info="The take that you choose goes on from where the last one was; A/B goes back "
            "to that one.",
            elem_id="distill-prior-takes",
        )
        older = gr.Button("Older takes", size="sm", visible=False)
        with gr.Row():
            restore = gr.Button("Use its settings", size="sm", min_width=110)
            longer = gr.Button("Same seed, longer", size="sm", min_width=110, scale=2)
            download = gr.Button("Download", size="sm", min_width=80)
            star = gr.Button("Star", size="sm", min_width=80, visible=False)
            remove = gr.Button("Remove", size="sm", min_width=80)
        downloads = gr.File(file_count="multiple", visible=False)
        summary = gr.Markdown()
        editing = build_board_panel()
        with gr.Row():
            command = gr.Textbox(
                label="The same on the command line",
                interactive=False,
                max_lines=4,
                scale=4,
                elem_id="distill-prior-command",
            )
            copy = gr.Button(COPY_LABEL, size="sm", scale=1, min_width=120)
        with gr.Accordion("Export", open=False):
            export = _build_export_panel()
    return TakePanel(
        player, repeat, undo, body, playing, search, pictures, takes, older, restore, longer,
        download, downloads, star, remove, summary, editing, command, copy, export,
    )  # fmt: skip


def _build_export_panel() -> ExportPanel:
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
        depth = build_bit_depth(ExportConfig.format)
        # A gr.Number that is empty shows 0.
        loudness = gr.Textbox(
            label="Loudness (LUFS)", placeholder="the take's", max_lines=1, min_width=120
        )
    with gr.Row():
        tags = [
            gr.Textbox(label=label, max_length=MAX_TAG_LENGTH, min_width=120)
            for label in ("Title", "Artist", "Album")
        ]
    button = gr.Button("Export")
    message = gr.Markdown()
    files = gr.File(label="Download", interactive=False, visible=False)
    return ExportPanel([format_, rate, depth, *tags, loudness], button, message, files)


def build_bit_depth(format_: str) -> gr.Dropdown:
    """Build the control for the bit depth, with the choices of a format."""
    names = {16: "16", 24: "24", 32: "32 (float)"}
    depths = [(names[depth], depth) for depth in FORMATS[format_]]
    return gr.Dropdown(
        depths or [("none", 0)],
        value=24 if depths else 0,
        interactive=bool(depths),
        label="Bit depth",
        min_width=90,
    )
