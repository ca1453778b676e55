"""The components that settings are made with, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from gradio_client.utils import is_http_url_like
from pydantic import ConfigDict, ValidationError

from distill_prior_gen.config import GENERATION_LIMITS, JOINS, QUALITIES, GenerationConfig
from distill_prior_gen.plugins import samplers, vocoders
from distill_prior_gen.ui.library import SUFFIXES
from distill_prior_gen.ui.settings import DEFAULT_VARY, LEVEL_LABELS, SETTINGS, START_LABELS

MAX_TAKES_PER_CLICK = 8
"""Largest number of takes that one click makes."""

TOP_K_INFO = "How many sounds the model chooses among. 0 is all of them."

PROMPT_LABEL = "Start from a sound"

KEYS = '<span class="keys">Ctrl+Enter generates, wherever you are in this tab.</span>'
STATUS_IDLE = f'<div class="idle">{KEYS}</div>'
STATUS_ERROR = '<div class="idle fault" role="alert">{}</div>'
LISTEN = '<a href="#distill-prior-player">Listen to take {}</a>'
STATUS_DONE = f'<div class="idle">{LISTEN} {KEYS}</div>'
"""Texts of the bar while no take is being made."""


@dataclass(frozen=True)
class SettingsPanel:
    """The components that settings are made with.

    Attributes:
        message: note on the chosen model.
        controls: the controls of `SETTINGS` by their names, in that order.
        prompt_accordion: the accordion with the sound to start from.
        count: number of takes per click.
    """

    model: gr.Dropdown
    refresh: gr.Button
    upload: gr.UploadButton
    message: gr.Markdown
    controls: dict[str, Any]
    randomize: gr.Button
    prompt_accordion: gr.Accordion
    count: gr.Slider


@dataclass(frozen=True)
class Bar:
    """The bar at the lower edge, which is always visible.

    Attributes:
        status: shows progress, and what went wrong.
    """

    status: gr.HTML
    generate: gr.Button
    cancel: gr.Button


NOT_UPLOADED = "prompt or file must be a file that was uploaded here"


class UploadedFile(FileData):
    """A file that the browser has uploaded. Anything else is refused with a message."""

    model_config = ConfigDict(title="FileData")  # the name that clients know

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> UploadedFile:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from error


def refuse_urls(block: Any) -> None:
    """Keep Gradio from downloading files for a component and its children.

    Otherwise Gradio would fetch any URL that a client sends instead of an upload.
    """
    for child in getattr(block, "children", ()):
        refuse_urls(child)
    if move := getattr(block, "async_move_resource_to_block_cache", None):

        async def move_upload(path: Any) -> Any:
            if is_http_url_like(path):
                raise gr.Error(NOT_UPLOADED, print_exception=False)
            return await move(path)

        block.async_move_resource_to_block_cache = move_upload


def build_settings_panel(models: dict[str, Any]) -> SettingsPanel:
    """Build the components that settings are made with.

    Args:
        models: choices and value of the list of models.
    """
    model = gr.Dropdown(**models, label="Model", interactive=True)
    with gr.Row():
        refresh = gr.Button("Refresh", size="sm", min_width=80)
        upload = gr.UploadButton(
            "Upload a model", file_types=list(SUFFIXES), size="sm", min_width=80
        )
    message = gr.Markdown(visible=False)
    upload.data_model = UploadedFile
    controls = _build_sliders()
    with gr.Row():
        controls["seed"] = gr.Textbox(
            label="Seed",
            info="The same seed makes the same take. Empty: a new one each time. Enter generates.",
            scale=3,
            min_width=160,
        )
        randomize = gr.Button("Randomize", size="sm", scale=1, min_width=90)
    with gr.Accordion(PROMPT_LABEL, open=False) as accordion:
        controls |= _build_prompt_controls()
        controls["prompt"].data_model = UploadedFile
    with gr.Accordion("Advanced", open=False):
        controls |= _build_level_controls()
        controls |= _build_method_controls()
        count = gr.Slider(
            1,
            MAX_TAKES_PER_CLICK,
            1,
            step=1,
            label="Takes per click",
            info="All are made together, each with its own seed.",
        )
    in_order = {name: controls[name] for name in SETTINGS}
    return SettingsPanel(model, refresh, upload, message, in_order, randomize, accordion, count)


def build_bar() -> Bar:
    """Build the bar at the lower edge."""
    with gr.Row(elem_id="distill-prior-bar"):
        generate = gr.Button(
            "Generate", variant="primary", min_width=160, elem_id="distill-prior-generate"
        )
        cancel = gr.Button("Cancel", min_width=90, elem_id="distill-prior-cancel")
        status = gr.HTML(STATUS_IDLE, elem_id="distill-prior-status")
    return Bar(status, generate, cancel)


def _build_slider(field: str, step: float, label: str, info: str) -> gr.Slider:
    low, high = GENERATION_LIMITS[field]
    default = getattr(GenerationConfig, field)
    return gr.Slider(low, high, default, step=step, label=label, info=info)


def _build_sliders() -> dict[str, Any]:
    return {
        "temperature": _build_slider(
            "temperature",
            0.05,
            "Temperature",
            "Low: what the model knows best. High: rare sounds, and accidents.",
        ),
        "top_p": _build_slider(
            "top_p", 0.05, "Top-p", "Leaves out the least likely sounds. 0 leaves out none."
        ),
        "top_k": _build_slider("top_k", 1, "Top-k", TOP_K_INFO),
        "duration": _build_slider(
            "duration",
            1,
            "Duration (seconds)",
            "With the same seed a longer take begins with the same music.",
        ),
        "loop": gr.Checkbox(label="Loop", info="The end leads into the beginning."),
    }


def _build_prompt_controls() -> dict[str, Any]:
    return {
        "prompt": gr.Audio(label="Sound", sources=["upload", "microphone"], type="filepath"),
        "start": gr.Radio(
            [(label, name) for name, label in START_LABELS.items()],
            value="continue",
            label="What to do with it",
            info="Only its last second is used. You hear the model's version of it, unless you "
            "continue the recording itself.",
        ),
        "vary": gr.Slider(
            *GENERATION_LIMITS["vary"],
            DEFAULT_VARY,
            step=0.05,
            label="How much is new",
            info="0 is the model's version of the sound. The take is as long as the sound.",
            visible=False,
        ),
    }


def _build_level_text(name: str, example: str, info: str | None = None) -> gr.Textbox:
    return gr.Textbox(
        label=LEVEL_LABELS[name], placeholder=example, info=info, min_width=120, max_lines=1
    )


def _build_level_controls() -> dict[str, Any]:
    levels: dict[str, Any] = {
        "min_p": _build_slider(
            "min_p",
            0.01,
            "Min-p",
            "Leaves out sounds less likely than this share of the most likely one. 0 is off.",
        ),
        "temperature_end": _build_level_text(
            "temperature_end",
            "0.5",
            "The temperature moves to this value over the take. Empty: it stays.",
        ),
        "temperature_by_level": _build_level_text(
            "temperature_by_level",
            "1.0, 0.8, 0.6",
            "One value each for structure, timbre and detail. Empty: the slider's value.",
        ),
    }
    with gr.Row():
        levels["top_p_by_level"] = _build_level_text("top_p_by_level", "0.9, 0.9, 0.7")
        levels["top_k_by_level"] = _build_level_text("top_k_by_level", "5, 10, 0")
    return levels


def _build_method_controls() -> dict[str, Any]:
    return {
        "sampler": gr.Dropdown(
            list(samplers()),
            value=GenerationConfig.sampler,
            label="Sampler",
            info="Timeline: remembers seconds of the take. Continue: each second follows from "
            "the one before. Independent: each is made by itself. Auto: the first of these that "
            "the model has.",
        ),
        "wander": _build_slider(
            "wander",
            0.1,
            "Wander",
            "With Timeline: how often the take turns to another of the recordings. 0 is never.",
        ),
        "context_columns": _build_slider(
            "context_columns",
            1,
            "Context columns",
            "How much of each second the next one continues from. "
            "More: it follows more closely, and takes longer.",
        ),
        "overlap": _build_slider(
            "overlap",
            10,
            "Crossfade overlap (ms)",
            "How long seconds that do not continue each other overlap.",
        ),
        "join": gr.Dropdown(
            JOINS,
            value=GenerationConfig.join,
            label="Join",
            info="For seconds that do not continue each other. Spectral: tones run on from one "
            "to the next. Crossfade: one fades into the next.",
        ),
        "vocoder": gr.Dropdown(
            list(vocoders()),
            value=GenerationConfig.vocoder,
            label="Vocoder",
            info="How the spectrum is turned into sound. Auto: the vocoder that was trained with "
            "the model, if there is one, else mel-griffin-lim.",
        ),
        "quality": gr.Radio(
            QUALITIES,
            value=GenerationConfig.quality,
            label="Quality",
            info="Higher quality takes longer, and sounds a little cleaner.",
        ),
    }
