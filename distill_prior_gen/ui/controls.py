"""The components that settings are made with, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from gradio_client.utils import is_http_url_like
from pydantic import ConfigDict, ValidationError

from distill_prior_gen.ui.library import SUFFIXES
from distill_prior_gen.ui.preset_controls import PresetPanel, build_preset_panel
from distill_prior_gen.ui.setting_controls import (
    PROMPT_LABEL,
    build_level_controls,
    build_method_controls,
    build_prompt_controls,
    build_sliders,
    build_steering_controls,
)
from distill_prior_gen.ui.settings import SETTINGS

MODEL_ID = "distill-prior-model"
"""Identifier of the list of models, for other tabs."""

MAX_TAKES_PER_CLICK = 8
"""Largest number of takes that one click makes."""

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
        presets: the components for presets.
        controls: the controls of `SETTINGS` by their names, in that order.
        steering_note: tells why the chosen model cannot be steered.
        prompt_accordion: the accordion with the sound to start from.
        count: number of takes per click.
    """

    model: gr.Dropdown
    refresh: gr.Button
    upload: gr.UploadButton
    message: gr.Markdown
    presets: PresetPanel
    controls: dict[str, Any]
    randomize: gr.Button
    steering_note: gr.Markdown
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
    model = gr.Dropdown(**models, label="Model", interactive=True, elem_id=MODEL_ID)
    with gr.Row():
        refresh = gr.Button("Refresh", size="sm", min_width=80)
        upload = gr.UploadButton(
            "Upload a model", file_types=list(SUFFIXES), size="sm", min_width=80
        )
    message = gr.Markdown(visible=False)
    upload.data_model = UploadedFile
    controls = build_sliders()
    with gr.Row():
        controls["seed"] = gr.Textbox(
            label="Seed",
            info="The same seed makes the same take. Empty: a new one each time. Enter generates.",
            scale=3,
            min_width=160,
        )
        randomize = gr.Button("Randomize", size="sm", scale=1, min_width=90)
    presets = build_preset_panel()
    with gr.Accordion("Character", open=False):
        steering_note = gr.Markdown(visible=False)
        controls |= build_steering_controls()
    with gr.Accordion(PROMPT_LABEL, open=False) as accordion:
        controls |= build_prompt_controls()
        controls["prompt"].data_model = UploadedFile
    with gr.Accordion("Advanced", open=False):
        controls |= build_level_controls()
        controls |= build_method_controls()
        count = gr.Slider(
            1,
            MAX_TAKES_PER_CLICK,
            1,
            step=1,
            label="Takes per click",
            info="All are made together, each with its own seed.",
        )
    in_order = {name: controls[name] for name in SETTINGS}
    return SettingsPanel(
        model, refresh, upload, message, presets, in_order, randomize, steering_note, accordion,
        count,
    )  # fmt: skip


def build_bar() -> Bar:
    """Build the bar at the lower edge."""
    with gr.Row(elem_id="distill-prior-bar"):
        generate = gr.Button(
            "Generate",
            variant="primary",
            min_width=160,
            interactive=False,  # until the page has its takes
            elem_id="distill-prior-generate",
        )
        cancel = gr.Button("Cancel", min_width=90, elem_id="distill-prior-cancel")
        status = gr.HTML(STATUS_IDLE, elem_id="distill-prior-status")
    return Bar(status, generate, cancel)
