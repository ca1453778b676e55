"""Converts settings between the controls of the page and `GenerationConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.store.words import format_course, format_value

SETTINGS = (
    "temperature",
    "top_p",
    "top_k",
    "duration",
    "loop",
    "seed",
    "like",
    "steer",
    "loud",
    "bright",
    "noisy",
    "dense",
    "wander",
    "courses",
    "prompt",
    "start",
    "vary",
    "min_p",
    "temperature_end",
    "temperature_by_level",
    "top_p_by_level",
    "top_k_by_level",
    "sampler",
    "context_columns",
    "overlap",
    "join",
    "vocoder",
    "quality",
    "width",
)
"""Names of the controls, in the order of the endpoint."""

LEVEL_LABELS = {
    "temperature_by_level": "Temperature by level",
    "top_p_by_level": "Top-p by level",
    "top_k_by_level": "Top-k by level",
    "temperature_end": "Temperature at the end",
}
"""Labels of the text controls that take one value, or one for each level."""

START_LABELS = {
    "continue": "Continue it",
    "recording": "Continue the recording itself",
    "vary": "Vary it",
}
"""Labels of the ways to start from a sound."""

DESCRIPTOR_LABELS = {
    "loud": "Loudness",
    "bright": "Brightness",
    "noisy": "Noisiness",
    "dense": "Density",
}
"""Labels of the sliders that steer what the sound is like."""

COURSES_LABEL, COURSES_EXAMPLE = "Courses over the take", "bright 0.2:0.9, dense 1:0"

MAX_SEED_DIGITS = 20
"""Digits of the longest seed."""

DEFAULT_VARY = 0.3
"""First value of the control for how much of a sound is new."""

DEFAULT_DESCRIPTOR = 0.5
"""First value of the sliders of `DESCRIPTOR_LABELS`."""


def to_config(page: Mapping[str, Any]) -> GenerationConfig:
    """Check the values of the controls, and convert them to a configuration.

    Args:
        page: values by the names in `SETTINGS`.

    Raises:
        ValueError: if a value is wrong; the message names its control.
    """
    converted = (*LEVEL_LABELS, *DESCRIPTOR_LABELS, "start", "steer", "courses")
    names = [name for name in SETTINGS if name not in converted]
    config = {name: _to_int_if_whole(page[name]) for name in names}
    for field in ("temperature", "top_p", "top_k"):
        if isinstance(config[field], list):
            raise ValueError(f"{field} must be a number, not {shortened(config[field])}")
        config[field] = _parse_numbers(f"{field}_by_level", page) or config[field]
    config["temperature_end"] = _parse_numbers("temperature_end", page) or None
    seed = "" if page["seed"] is None else str(page["seed"]).strip()
    if seed and not (seed.isdecimal() and len(seed) <= MAX_SEED_DIGITS):
        raise ValueError(f"seed must be a whole number or empty, not {shortened(seed)}")
    config["seed"] = int(seed) if seed else None
    config["like"] = page["like"] or None
    return GenerationConfig(**config | _prompt_settings(page) | _steering(page))


def to_page(config: GenerationConfig) -> dict[str, Any]:
    """Values of the controls for a configuration that has a seed."""
    page = asdict(config)
    for field in ("temperature", "top_p", "top_k"):
        value = page[field]
        each = isinstance(value, tuple)
        page[field] = value[0] if each else value
        page[f"{field}_by_level"] = _format_for_page(value) if each else ""
    end = page["temperature_end"]
    page["temperature_end"] = "" if end is None else _format_for_page(end)
    page["seed"] = str(config.seed)
    page["like"] = config.like or ""
    values = {name: page[name] for name in DESCRIPTOR_LABELS if page[name] is not None}
    courses = {name: value for name, value in values.items() if isinstance(value, tuple)}
    page["steer"] = [name for name in values if name not in courses]
    page["courses"] = ", ".join(f"{name} {format_course(v)}" for name, v in courses.items())
    for name in DESCRIPTOR_LABELS:
        page[name] = values[name] if name in page["steer"] else DEFAULT_DESCRIPTOR
    varied, itself = config.vary is not None, config.prompt_crossfade
    page["start"] = "vary" if varied else "recording" if itself else "continue"
    page["vary"] = config.vary if varied else DEFAULT_VARY
    return {name: page[name] for name in SETTINGS}


def _format_for_page(value: object) -> str:
    return format_value(value).replace(",", ", ")


def _to_int_if_whole(value: Any) -> Any:
    """Convert a float without a fraction to an int, because the page sends floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_numbers(name: str, page: Mapping[str, Any]) -> tuple[float, ...]:
    """The numbers in a text control. There are none if it is empty."""
    text = "" if page[name] is None else str(page[name]).strip()
    try:
        return tuple(_to_int_if_whole(float(part)) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise ValueError(
            f"{LEVEL_LABELS[name]} must be empty or numbers with commas between them, such as "
            f"1.0, 0.8, 0.6, not {shortened(text)}"
        ) from error


def _steering(page: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `GenerationConfig` that steer what the sound is like."""
    chosen = page["steer"] or []
    if not isinstance(chosen, list) or not all(name in tuple(DESCRIPTOR_LABELS) for name in chosen):
        known = ", ".join(DESCRIPTOR_LABELS)
        raise ValueError(f"steer must be a list of {known}, not {shortened(chosen)}")
    return {name: _to_int_if_whole(page[name]) for name in chosen} | _parse_courses(page["courses"])


def _parse_courses(text: Any) -> dict[str, tuple[float, float]]:
    """The courses in a text such as `COURSES_EXAMPLE`. There are none if it is empty."""
    courses = {}
    try:
        for course in str(text or "").split(","):
            if course.strip():
                name, values = course.split()
                start, end = values.split(":")
                courses[name] = float(start), float(end)
        if courses.keys() <= DESCRIPTOR_LABELS.keys():
            return courses
    except ValueError:
        pass
    raise ValueError(
        f"{COURSES_LABEL} must be empty or like '{COURSES_EXAMPLE}', with the names "
        f"{', '.join(DESCRIPTOR_LABELS)}, not {shortened(text)}"
    )


def _prompt_settings(page: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `GenerationConfig` for the sound to start from."""
    prompt, start = page["prompt"], page["start"]
    if not isinstance(start, str) or start not in START_LABELS:
        raise ValueError(f"start must be one of {', '.join(START_LABELS)}, not {shortened(start)}")
    if not prompt:
        return {"prompt": None, "vary": None}
    if not Path(prompt).is_file():
        raise ValueError(f"{Path(prompt).name} is no longer there; choose the sound again")
    if page["loop"] and start != "continue":
        raise ValueError(
            f"Loop does not go with '{START_LABELS[start]}'; switch Loop off, "
            f"or choose '{START_LABELS['continue']}'"
        )
    vary = page["vary"] if start == "vary" else None
    return {"prompt": prompt, "prompt_crossfade": start == "recording", "vary": vary}
