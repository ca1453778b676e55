"""The controls that a take is made with, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from gradio_client.utils import is_http_url_like
from pydantic import ConfigDict, ValidationError

from distill_prior_gen.config import (
    GENERATION_LIMITS,
    JOINS,
    QUALITIES,
    GenerationConfig,
)
from distill_prior_gen.plugins import samplers, vocoders
from distill_prior_gen.ui.library import SUFFIXES
from distill_prior_gen.ui.settings import LEVELS, SETTINGS, STARTS, VARY

MOST_TAKES = 8
"""Takes of one click."""

TOP_K = "How many sounds it may choose among at each step. 0 is all of them."

START = "Start from a sound"

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
class Bar:
    """What is always in sight.

    Attributes:
        status: where progress is shown.
    """

    status: gr.HTML
    generate: gr.Button
    cancel: gr.Button


NOT_UPLOADED = "prompt or file must be a file that was uploaded here"


class UploadedFile(FileData):
    """A file that the browser has uploaded; whatever else comes is refused in words."""

    model_config = ConfigDict(title="FileData")  # which clients know

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> UploadedFile:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from error


def refuse_addresses(block: Any) -> None:
    """Keep Gradio from downloading files for a component and those in it.

    It would fetch whatever address a client gives in place of an upload.
    """
    for child in getattr(block, "children", ()):
        refuse_addresses(child)
    if move := getattr(block, "async_move_resource_to_block_cache", None):

        async def move_upload(path: Any) -> Any:
            if is_http_url_like(path):
                raise gr.Error(NOT_UPLOADED, print_exception=False)
            return await move(path)

        block.async_move_resource_to_block_cache = move_upload


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
    low, high = GENERATION_LIMITS[field]
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
            *GENERATION_LIMITS["vary"],
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
        "context_columns": _slider(
            "context_columns",
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
