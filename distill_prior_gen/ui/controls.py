"""The controls of the Prior tab, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from pydantic import ConfigDict, ValidationError

from distill_prior_gen.config import (
    FORMATS,
    JOINS,
    LIMITS,
    QUALITIES,
    SAMPLE_RATES,
    ExportConfig,
    GenerationConfig,
)
from distill_prior_gen.plugins import samplers, vocoders
from distill_prior_gen.ui.library import SUFFIXES
from distill_prior_gen.ui.settings import LEVELS, SETTINGS, STARTS, VARY

MOST_TAKES = 8
"""Takes of one click."""

MOST_LETTERS = 200
"""Of a title, an artist or an album."""

TOP_K = "How many sounds it may choose among at each step. 0 is all of them."

START = "Start from a sound"

COPY = "Copy command"

KEYS = '<span class="keys">Ctrl+Enter generates, wherever you are in this tab.</span>'
IDLE = f'<div class="idle">{KEYS}</div>'
FAULT = '<div class="idle fault" role="alert">{}</div>'
MADE = f'<div class="idle"><a href="#distill-prior-player">Listen to take {{}}</a> {KEYS}</div>'
"""What is said while nothing is made."""


@dataclass(frozen=True)
class SettingsPanel:
    """What a take is made with.

    Attributes:
        message: about the chosen model.
        settings: the controls of `SETTINGS`, in that order.
        beginning: the accordion of the sound to start from.
        count: takes of one click.
    """

    model: gr.Dropdown
    refresh: gr.Button
    upload: gr.UploadButton
    message: gr.Markdown
    settings: dict[str, Any]
    randomize: gr.Button
    beginning: gr.Accordion
    count: gr.Slider


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


@dataclass(frozen=True)
class Bar:
    """What is always in sight.

    Attributes:
        status: where progress is shown.
    """

    status: gr.HTML
    generate: gr.Button
    cancel: gr.Button


class UploadedFile(FileData):
    """A file that the browser has uploaded; whatever else comes is refused in words."""

    model_config = ConfigDict(title="FileData")  # which clients know

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> UploadedFile:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise gr.Error("prompt or file must be a file that was uploaded here") from error


def settings_panel(models: dict[str, Any]) -> SettingsPanel:
    """Build the controls that a take is made with.

    Args:
        models: choices and value of the list of models.
    """
    settings: dict[str, Any] = {}
    model = gr.Dropdown(**models, label="Model", interactive=True)
    with gr.Row():
        refresh = gr.Button("Refresh", size="sm", min_width=80)
        upload = gr.UploadButton(
            "Upload a model", file_types=list(SUFFIXES), size="sm", min_width=80
        )
    message = gr.Markdown(visible=False)
    upload.data_model = UploadedFile
    settings |= _sliders()
    with gr.Row():
        settings["seed"] = gr.Textbox(
            label="Seed",
            info="The same seed makes the same take. Empty: a new one each time. Enter generates.",
            scale=3,
            min_width=160,
        )
        randomize = gr.Button("Randomize", size="sm", scale=1, min_width=90)
    with gr.Accordion(START, open=False) as beginning:
        settings |= _beginning()
        settings["prompt"].data_model = UploadedFile
    with gr.Accordion("Advanced", open=False):
        settings |= _levels()
        settings |= _methods()
        count = gr.Slider(
            1,
            MOST_TAKES,
            1,
            step=1,
            label="Takes per click",
            info="All are made together, each with a seed of its own.",
        )
    in_order = {name: settings[name] for name in SETTINGS}
    return SettingsPanel(model, refresh, upload, message, in_order, randomize, beginning, count)


def bar() -> Bar:
    """Build what is always in sight."""
    with gr.Row(elem_id="distill-prior-bar"):
        generate = gr.Button(
            "Generate", variant="primary", min_width=160, elem_id="distill-prior-generate"
        )
        cancel = gr.Button("Cancel", min_width=90, elem_id="distill-prior-cancel")
        status = gr.HTML(IDLE, elem_id="distill-prior-status")
    return Bar(status, generate, cancel)


def _slider(field: str, step: float, label: str, info: str) -> gr.Slider:
    low, high = LIMITS[field]
    default = getattr(GenerationConfig, field)
    return gr.Slider(low, high, default, step=step, label=label, info=info)


def _sliders() -> dict[str, Any]:
    return {
        "temperature": _slider(
            "temperature",
            0.05,
            "Temperature",
            "Low: what it knows best. High: rare sounds, and accidents.",
        ),
        "top_p": _slider(
            "top_p", 0.05, "Top-p", "Leaves out the unlikeliest sounds. 0 leaves out none."
        ),
        "top_k": _slider("top_k", 1, "Top-k", TOP_K),
        "duration": _slider(
            "duration",
            1,
            "Duration (seconds)",
            "With the same seed a longer take begins with the same music.",
        ),
        "loop": gr.Checkbox(label="Loop", info="The end leads into the beginning."),
    }


def _beginning() -> dict[str, Any]:
    return {
        "prompt": gr.Audio(label="Sound", sources=["upload", "microphone"], type="filepath"),
        "start": gr.Radio(
            [(label, name) for name, label in STARTS.items()],
            value="continue",
            label="What to do with it",
            info="Its last second counts. It is heard as the model hears it, unless you "
            "continue the recording itself.",
        ),
        "vary": gr.Slider(
            *LIMITS["vary"],
            VARY,
            step=0.05,
            label="How much is new",
            info="0 is the sound as the model hears it. The take is as long as the sound.",
            visible=False,
        ),
    }


def _text(name: str, example: str, info: str | None = None) -> gr.Textbox:
    return gr.Textbox(
        label=LEVELS[name], placeholder=example, info=info, min_width=120, max_lines=1
    )


def _levels() -> dict[str, Any]:
    levels: dict[str, Any] = {
        "min_p": _slider(
            "min_p",
            0.01,
            "Min-p",
            "Leaves out what is so much unlikelier than the likeliest. 0 is off.",
        ),
        "temperature_end": _text(
            "temperature_end",
            "0.5",
            "The temperature moves there over the take. Empty: it stays.",
        ),
        "temperature_by_level": _text(
            "temperature_by_level",
            "1.0, 0.8, 0.6",
            "One value each for structure, timbre and detail. Empty: the slider counts.",
        ),
    }
    with gr.Row():
        levels["top_p_by_level"] = _text("top_p_by_level", "0.9, 0.9, 0.7")
        levels["top_k_by_level"] = _text("top_k_by_level", "5, 10, 0")
    return levels


def _methods() -> dict[str, Any]:
    return {
        "sampler": gr.Dropdown(
            list(samplers()),
            value=GenerationConfig.sampler,
            label="Sampler",
            info="Continue: each second follows from the one before. "
            "Independent: each is drawn by itself.",
        ),
        "held_columns": _slider(
            "held_columns",
            1,
            "Held columns",
            "How much of each second is carried over into the next. "
            "More: it follows closer, and takes longer.",
        ),
        "overlap": _slider(
            "overlap",
            10,
            "Crossfade overlap (ms)",
            "How softly seconds that do not continue each other pass into the next.",
        ),
        "join": gr.Dropdown(
            JOINS,
            value=GenerationConfig.join,
            label="Join",
            info="Of seconds that do not continue each other. Spectral: one tone through "
            "every seam. Crossfade: they fade over.",
        ),
        "vocoder": gr.Dropdown(
            list(vocoders()),
            value=GenerationConfig.vocoder,
            label="Vocoder",
            info="How a spectrum becomes a sound.",
        ),
        "quality": gr.Radio(
            QUALITIES,
            value=GenerationConfig.quality,
            label="Quality",
            info="Better takes longer, and sounds a little cleaner.",
        ),
    }


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
