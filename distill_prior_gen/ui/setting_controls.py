"""The controls of `SETTINGS`, in groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

from distill_prior_gen.config import GENERATION_LIMITS, JOINS, QUALITIES, GenerationConfig
from distill_prior_gen.plugins import samplers, vocoders
from distill_prior_gen.ui.settings import (
    COURSES_EXAMPLE,
    COURSES_LABEL,
    DEFAULT_DESCRIPTOR,
    DEFAULT_VARY,
    DESCRIPTOR_LABELS,
    LEVEL_LABELS,
    START_LABELS,
)

TOP_K_INFO = "How many sounds the model chooses among. 0 is all of them."

PROMPT_LABEL = "Start from a sound"


MAX_TEXT = 1000
"""Characters of a text that was stored."""


def _build_slider(field: str, step: float, label: str, info: str) -> gr.Slider:
    low, high = GENERATION_LIMITS[field]
    default = getattr(GenerationConfig, field)
    return gr.Slider(low, high, default, step=step, label=label, info=info)


def build_sliders() -> dict[str, Any]:
    """Sliders that every take needs."""
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


def build_steering_controls() -> dict[str, Any]:
    """What the sound of a take is like."""
    steering: dict[str, Any] = {
        "like": gr.Dropdown(
            build_like_choices(()),
            value="",
            label="Begin like",
            info="One of the recordings. The take begins in its manner, and does not copy it.",
        ),
        "steer": gr.CheckboxGroup(
            [(label, name) for name, label in DESCRIPTOR_LABELS.items()],
            label="Steer",
            info="A slider that is touched switches itself on. Untick it to leave it to the model.",
        ),
    }
    infos = ("Quiet to loud.", "Dark to bright.", "Tonal to noisy.", "Few to many onsets.")
    for index in (0, 2):
        with gr.Row():
            for name, info in list(zip(DESCRIPTOR_LABELS, infos, strict=True))[index : index + 2]:
                steering[name] = gr.Slider(
                    *GENERATION_LIMITS[name],
                    DEFAULT_DESCRIPTOR,
                    step=0.05,
                    label=DESCRIPTOR_LABELS[name],
                    info=info,
                    min_width=140,
                )
    steering["wander"] = _build_slider(
        "wander",
        0.1,
        "Wander",
        "How often the take turns to another of the recordings. 0 is never.",
    )
    steering["courses"] = gr.Textbox(
        label=COURSES_LABEL,
        placeholder=COURSES_EXAMPLE,
        info="From one value at the beginning to another at the end. Empty: the sliders' values.",
        max_lines=1,
    )
    return steering


def build_like_choices(recordings: Iterable[str]) -> list[tuple[str, str]]:
    """Choices of the list of recordings that a take may begin like."""
    return [("any of them", ""), *((name, name) for name in dict.fromkeys(recordings))]


def build_prompt_controls() -> dict[str, Any]:
    """What a take starts from."""
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


def build_level_controls() -> dict[str, Any]:
    """Settings of each level, and of how likely a code must be."""
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


def build_method_controls() -> dict[str, Any]:
    """Methods of sampling, joining and inverting."""
    return {
        "sampler": gr.Dropdown(
            list(samplers()),
            value=GenerationConfig.sampler,
            label="Sampler",
            info="Timeline: remembers seconds of the take. Continue: each second follows from "
            "the one before. Independent: each is made by itself. Auto: the first of these that "
            "the model has.",
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
        "width": _build_slider(
            "width",
            0.05,
            "Stereo width",
            "How much left and right differ. 0 is mono; lows stay in the middle.",
        ),
    }


def fits(control: Any, value: Any) -> bool:
    """Whether a control can have a value, which may have been stored for another version."""
    if isinstance(control, gr.Slider):
        return type(value) in (int, float) and control.minimum <= value <= control.maximum
    if isinstance(control, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(control, gr.Textbox):
        return isinstance(value, str) and len(value) <= MAX_TEXT
    choices = [choice for _, choice in control.choices]
    chosen = value if isinstance(control, gr.CheckboxGroup) else [value]
    return isinstance(chosen, list) and all(each in choices for each in chosen)
