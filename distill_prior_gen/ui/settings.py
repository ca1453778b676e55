"""The settings of a take as the page has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from distill_prior_gen.config import GenerationConfig

SETTINGS = (
    "temperature",
    "top_p",
    "top_k",
    "duration",
    "loop",
    "seed",
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
)
"""Names of the controls, in the order of the endpoint."""

LEVELS = {
    "temperature_by_level": "Temperature by level",
    "top_p_by_level": "Top-p by level",
    "top_k_by_level": "Top-k by level",
    "temperature_end": "Temperature at the end",
}
"""Controls for text with one value, or one for each level, and their labels."""

STARTS = {
    "continue": "Continue it",
    "recording": "Continue the recording itself",
    "vary": "Vary it",
}
"""What may be done with a sound to start from, and its labels."""

MOST_DIGITS = 20
"""Of a seed."""

VARY = 0.3
"""How much of a sound is new at first."""


def to_config(page: Mapping[str, Any]) -> GenerationConfig:
    """The settings on the page, checked.

    Raises:
        ValueError: naming what is wrong.
    """
    config = {name: _whole(page[name]) for name in SETTINGS if name not in (*LEVELS, "start")}
    for field in ("temperature", "top_p", "top_k"):
        if isinstance(config[field], list):
            raise ValueError(f"{field} must be a number, not {shortened(config[field])}")
        config[field] = _numbers(f"{field}_by_level", page) or config[field]
    config["temperature_end"] = _numbers("temperature_end", page) or None
    seed = "" if page["seed"] is None else str(page["seed"]).strip()
    if seed and not (seed.isdecimal() and len(seed) <= MOST_DIGITS):
        raise ValueError(f"seed must be a whole number or empty, not {shortened(seed)}")
    config["seed"] = int(seed) if seed else None
    return GenerationConfig(**config | _beginning(page))


def to_page(config: GenerationConfig) -> dict[str, Any]:
    """What the controls show for a configuration with a seed."""
    page = asdict(config)
    for field in ("temperature", "top_p", "top_k"):
        value = page[field]
        each = isinstance(value, tuple)
        page[field] = value[0] if each else value
        page[f"{field}_by_level"] = _text(value) if each else ""
    end = page["temperature_end"]
    page["temperature_end"] = "" if end is None else _text(end)
    page["seed"] = str(config.seed)
    varied, itself = config.vary is not None, config.prompt_crossfade
    page["start"] = "vary" if varied else "recording" if itself else "continue"
    page["vary"] = config.vary if varied else VARY
    return {name: page[name] for name in SETTINGS}


def written(value: object) -> str:
    """A setting as the command line takes it."""
    values = value if isinstance(value, tuple) else (value,)
    return ",".join(
        str(one).removesuffix(".0") if isinstance(one, float) else str(one) for one in values
    )


def _text(value: object) -> str:
    return written(value).replace(",", ", ")


def _whole(value: Any) -> Any:
    """Numbers come from the page as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _numbers(name: str, page: Mapping[str, Any]) -> tuple[float, ...]:
    """What stands in a control for text, none if it is empty."""
    text = "" if page[name] is None else str(page[name]).strip()
    try:
        return tuple(_whole(float(part)) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise ValueError(
            f"{LEVELS[name]} must be empty or numbers with commas between them, such as "
            f"1.0, 0.8, 0.6, not {shortened(text)}"
        ) from error


def _beginning(page: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the sound to start from."""
    prompt, start = page["prompt"], page["start"]
    if not isinstance(start, str) or start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, not {shortened(start)}")
    if not prompt:
        return {"prompt": None, "vary": None}
    if not Path(prompt).is_file():
        raise ValueError(f"{Path(prompt).name} is no longer there; choose the sound again")
    if page["loop"] and start != "continue":
        raise ValueError(
            f"Loop does not go with '{STARTS[start]}'; switch Loop off, "
            f"or choose '{STARTS['continue']}'"
        )
    vary = page["vary"] if start == "vary" else None
    return {"prompt": prompt, "prompt_crossfade": start == "recording", "vary": vary}
