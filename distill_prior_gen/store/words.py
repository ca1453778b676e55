"""Takes in words: their settings, and the search for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from distill_prior_gen.config import DESCRIPTORS, GenerationConfig
from distill_prior_gen.plugins import samplers
from distill_prior_gen.sampling.timeline import TIMELINE

COPY_ENDING = re.compile(r"-[0-9a-f]{16}(?=\.|$)")
"""What `prompt_path` adds to the name of a recording."""


def format_value(value: object) -> str:
    """Format a setting for the command line."""
    values = value if isinstance(value, tuple) else (value,)
    return ",".join(
        str(one).removesuffix(".0") if isinstance(one, float) else str(one) for one in values
    )


def format_course(value: float | tuple[float, float]) -> str:
    """Format a descriptor for the command line."""
    return format_value(value).replace(",", ":")


def setting_phrases(config: GenerationConfig, origin: str = "") -> list[str]:
    """A phrase of Markdown for each setting except the seed and the duration.

    Args:
        config: settings of a take, with the names of the sampler and the vocoder that were used.
        origin: what it was edited from.
    """
    phrases = [f"temperature {format_value(config.temperature)}"]
    if config.temperature_end is not None:
        phrases[0] += f" to {format_value(config.temperature_end)}"
    for name, off in (("top_p", (0, 1)), ("top_k", (0,)), ("min_p", (0,))):
        value = getattr(config, name)
        phrases.append(f"{name.replace('_', '-')} {'off' if value in off else format_value(value)}")
    phrases.append(f"{config.sampler} sampler")
    phrases += _method_phrases(config)
    if config.prompt:
        name = f"`{COPY_ENDING.sub('', Path(config.prompt).name)}`"
        if config.vary is not None:
            phrases.append(f"{config.vary:.0%} of {name} new")
        elif config.prompt_crossfade:
            phrases.append(f"continues the recording {name} itself")
        else:
            phrases.append(f"continues {name}")
    if config.loop:
        phrases.append("loop")
    if config.width:
        phrases.append(f"width {config.width:g}")
    if origin:
        phrases.append(origin)
    phrases.append(f"{config.vocoder} ({config.quality})")
    return phrases


def _method_phrases(config: GenerationConfig) -> list[str]:
    """Settings that count for the sampler of the take."""
    if config.sampler == TIMELINE:
        values = {name: getattr(config, name) for name in DESCRIPTORS}
        return [
            f"wander {config.wander:g}",
            *([f"like `{config.like}`"] if config.like else []),
            *(f"{name} {format_course(v)}" for name, v in values.items() if v is not None),
        ]
    if config.vary is not None:
        return []
    sampler = samplers().get(config.sampler)
    if sampler and not (sampler.continues or sampler.whole):
        return [f"overlap {config.overlap:g} ms, {config.join} join"]
    columns = "column" if config.context_columns == 1 else "columns"
    return [f"{config.context_columns} context {columns}"]


class Described(Protocol):
    """What a take tells for a search."""

    @property
    def number(self) -> int: ...
    @property
    def model_name(self) -> str: ...
    @property
    def config(self) -> GenerationConfig: ...
    @property
    def duration(self) -> float: ...
    @property
    def origin(self) -> str: ...


def search_text(take: Described, starred: bool = False) -> str:
    """What a search for takes looks through: number, seed, model, length, settings."""
    words = [f"take {take.number}", f"seed {take.config.seed}", take.model_name]
    words += [f"{round(take.duration, 2):g} s", *setting_phrases(take.config, take.origin)]
    return ", ".join([*words, *(["starred"] if starred else [])])


def matches(query: str, text: str) -> bool:
    """Whether a text has all words of a query, in any order.

    A word may be the beginning of one of the text. A number is a whole number of the text; after
    a word, it must follow that word, as in ``seed 7``. Case and commas do not count.
    """
    words = _words(text)
    groups: list[list[str]] = []
    for word in _words(query):
        if groups and _number(word) is not None and _number(groups[-1][-1]) is None:
            groups[-1].append(word)
        else:
            groups.append([word])
    return all(
        any(
            all(_fits(wanted, word) for wanted, word in zip(group, words[start:], strict=False))
            for start in range(len(words) - len(group) + 1)
        )
        for group in groups
    )


def _words(text: str) -> list[str]:
    return re.sub(r"[,:`]", " ", text.casefold()).split()


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _fits(wanted: str, word: str) -> bool:
    number = _number(wanted)
    return word.startswith(wanted) if number is None else number == _number(word)
