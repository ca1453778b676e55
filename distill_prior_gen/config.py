"""Settings of takes and of files: fields, defaults and ranges, for every interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

from distill_prior_gen.validation import check_choice, check_number, check_type

Progress = Callable[[float, str], None]
"""Function called with the fraction of the work that is done, from 0 to 1, and a description of the
current work. An exception that it raises ends the work."""


def no_progress(share: float, text: str) -> None:
    """A `Progress` that shows nothing."""


def partial_progress(report: Progress, start: float, end: float) -> Progress:
    """A `Progress` for the part of the work between the shares `start` and `end`."""
    return lambda share, text: report(start + (end - start) * share, text)


DESCRIPTORS = ("loud", "bright", "noisy", "dense")
"""Fields of `GenerationConfig` that steer what the sound is like."""

GENERATION_LIMITS: dict[str, tuple[Any, Any]] = {
    "temperature": (0.1, 2.0),
    "temperature_end": (0.1, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 512),
    "min_p": (0.0, 1.0),
    "duration": (1.0, 30.0),
    "context_columns": (1, 16),
    "overlap": (0.0, 200.0),
    "vary": (0.0, 1.0),
    "wander": (0.0, 10.0),
    **dict.fromkeys(DESCRIPTORS, (0.0, 1.0)),
    "width": (0.0, 1.0),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of each number in `GenerationConfig`, both included."""

INTEGERS = ("top_k", "context_columns", "seed")
PER_LEVEL = ("temperature", "temperature_end", "top_p", "top_k")
OPTIONAL = ("temperature_end", "vary", "seed", *DESCRIPTORS)
FLAGS = ("allow_long", "prompt_crossfade", "loop")
"""Fields of `GenerationConfig` that are whole numbers, that may have a value for each level, that
may be None, and that are True or False."""

ALIASES = {"autoregressive": "independent"}
"""Former names of samplers."""

JOINS = ("spectral", "crossfade")
"""Ways to join chunks: as mels, with one phase over the whole take, or as waveforms."""

GAP_LIMITS = (0.1, 30.0)
"""Shortest and longest gap between two takes that is filled, in seconds."""

MAX_EDITED_S = 86_400.0
"""Latest second of a take that can be edited."""

QUALITIES = ("fast", "normal", "best")
"""Qualities of vocoders, from the fastest to the most exact."""


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of a take.

    Four of them may be a tuple with a value for each level of the residual quantizer, the coarsest
    first: structure, timbre, detail.

    Args:
        temperature: divisor of the logits. Below 1 the codes are more typical, above 1 more
            surprising. May be given for each level.
        temperature_end: temperature at the end of the take, to which it moves linearly; None keeps
            it constant. May be given for each level.
        top_p: nucleus sampling: keep the most likely codes whose probabilities add up to this
            fraction. 0 and 1 keep all. May be given for each level.
        top_k: keep this number of the most likely codes; 0 keeps all. May be given for each level.
        min_p: keep codes whose probability is at least `min_p` times that of the most likely code;
            0 keeps all.
        duration: length of the take in seconds. With `vary` the take is as long as the prompt.
        allow_long: lift the upper limit of `duration`.
        sampler: name of the method that draws codes from the prior.
            ``"auto"`` is ``"timeline"`` if the model's file has a timeline prior, else
            ``"continue"``.
        wander: with the sampler ``"timeline"``: odds that the take turns to the manner of another
            recording, relative to how often recordings follow each other in training. 0 stays
            with the first.
        like: name of a recording of the training in whose manner a take with the sampler
            ``"timeline"`` begins, see `PriorModel.find_recording`.
        loud, bright, noisy, dense: how loud, bright, noisy and rich in onsets a take with the
            sampler ``"timeline"`` is, relative to the recordings: 0 is as their lowest tenth, 1 as
            their highest. A tuple of two values is a course from the beginning of the take to its
            end; None leaves it open.
        context_columns: number of columns of the code map (time) that a chunk shares with the
            chunk before it, with a sampler that continues chunks; limited by the length of a chunk.
        overlap: crossfade between chunks in milliseconds, with a sampler that does not continue
            chunks; limited to half a chunk.
        join: ``"spectral"`` or ``"crossfade"``, see `JOINS`; used where `overlap` is.
        prompt: path of a recording that the take continues. Of a long recording, the end is used.
        prompt_crossfade: begin the take with the recording itself instead of its reconstruction,
            and crossfade over `overlap` into what follows.
        vary: make a variation of the prompt instead of continuing it. This fraction of its codes is
            drawn again; 0 gives the model's reconstruction.
        loop: whether the end of the take leads into its beginning.
        vocoder: name of the method that turns a mel spectrogram into a waveform. ``"auto"`` is the
            vocoder that was trained for the model if its file has one, else ``"mel-griffin-lim"``.
        quality: one of `QUALITIES`.
        width: how much left and right differ, towards high frequencies more than at low ones; 0
            is mono. Their mean is the mono take.
        seed: seed of all random numbers. The same seed and settings give the same take; None
            chooses a new one.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    temperature: float | tuple[float, ...] = 1.0
    temperature_end: float | tuple[float, ...] | None = None
    top_p: float | tuple[float, ...] = 0.9
    top_k: int | tuple[int, ...] = 0
    min_p: float = 0.0
    duration: float = 10.0
    allow_long: bool = False
    sampler: str = "auto"
    wander: float = 1.0
    like: str | None = None
    loud: float | tuple[float, float] | None = None
    bright: float | tuple[float, float] | None = None
    noisy: float | tuple[float, float] | None = None
    dense: float | tuple[float, float] | None = None
    context_columns: int = 2
    overlap: float = 50.0
    join: str = "spectral"
    prompt: str | None = None
    prompt_crossfade: bool = False
    vary: float | None = None
    loop: bool = False
    vocoder: str = "auto"
    quality: str = "normal"
    width: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in GENERATION_LIMITS:
            self._check_numbers(field)
        for field in FLAGS:
            check_type(field, getattr(self, field), bool, "True or False")
        for field in ("sampler", "vocoder"):
            check_type(field, getattr(self, field), str, "a name")
        object.__setattr__(self, "sampler", ALIASES.get(self.sampler, self.sampler))
        check_choice("join", self.join, JOINS)
        check_choice("quality", self.quality, QUALITIES)
        if self.prompt is not None:
            check_type("prompt", self.prompt, (str, PathLike), "the path of a recording")
            object.__setattr__(self, "prompt", str(self.prompt))
        if self.like is not None:
            check_type("like", self.like, str, "the name of a recording")
        self._check_combinations()

    def _check_numbers(self, field: str) -> None:
        """Check the number or numbers of a field, and convert them to int or float."""
        value, (low, high) = getattr(self, field), GENERATION_LIMITS[field]
        if value is None and field in OPTIONAL:
            return
        if field == "duration" and self.allow_long:
            high = math.inf
        listed = isinstance(value, list | tuple)
        several = listed and (
            len(value) == 2 if field in DESCRIPTORS else field in PER_LEVEL and len(value) > 0
        )
        checked = tuple(
            check_number(field, number, low, high, field in INTEGERS)
            for number in (value if several else [value])
        )
        object.__setattr__(self, field, checked if len(checked) > 1 else checked[0])

    def _check_combinations(self) -> None:
        if self.prompt is None and (self.prompt_crossfade or self.vary is not None):
            field = "prompt_crossfade" if self.prompt_crossfade else "vary"
            raise ValueError(f"{field} needs a prompt")
        if self.vary is not None and (self.loop or self.prompt_crossfade):
            field = "loop" if self.loop else "prompt_crossfade"
            raise ValueError(f"vary and {field} do not go together; leave out one of them")
        if self.loop and self.prompt_crossfade:
            raise ValueError("loop and prompt_crossfade do not go together; leave out one of them")

    def overlap_samples(self, sample_rate: int) -> int:
        """Length of `overlap` in samples."""
        return round(self.overlap / 1000 * sample_rate)

    def per_level(self, field: str, levels: int) -> tuple[Any, ...]:
        """Values of a field for each of `levels` levels.

        Raises:
            ValueError: if the field has a different number of values.
        """
        value = getattr(self, field)
        values = value if isinstance(value, tuple) else (value,) * levels
        if len(values) != levels:
            raise ValueError(
                f"{field} has {len(values)} values, but the model has {levels} levels; "
                f"give one value, or {levels}"
            )
        return values


MASKS = ("periodic", "onsets")
"""Kinds of columns that a region may keep, see `Region`."""

KEPT_AROUND_ONSETS_MS = 80.0
"""How much is kept around each onset if nothing else is asked for."""


@dataclass(frozen=True)
class Region:
    """A part of a take that is drawn again.

    Args:
        start, end: seconds. Whole columns of the code map are drawn, those that the span touches.
        band: lowest and highest frequency in Hz, whose rows are drawn; None for all.
        levels: numbers of the levels, 0 for structure, 1 for timbre, 2 for detail; None for all.
        keep: columns that stay as they are: ``("periodic", N)`` for every N-th one of the map,
            ``("onsets", MS)`` for those within MS milliseconds after an onset of the sound; None
            for none.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    start: float
    end: float
    band: tuple[float, float] | None = None
    levels: tuple[int, ...] | None = None
    keep: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        check_number("start", self.start, 0.0, MAX_EDITED_S)
        check_number("end", self.end, 0.0, MAX_EDITED_S)
        if not self.start < self.end:
            raise ValueError(f"start must be before end, not {self.start:g} and {self.end:g}")
        if self.band is not None:
            low, high = (check_number("band", hertz, 0.0, math.inf) for hertz in self.band)
            if not low < high:
                raise ValueError(f"band must rise, not go from {low:g} to {high:g} Hz")
            object.__setattr__(self, "band", (low, high))
        if self.levels is not None:
            levels = tuple(check_number("levels", level, 0, 31, True) for level in self.levels)
            if not levels:
                raise ValueError("levels must name at least one level")
            object.__setattr__(self, "levels", levels)
        if self.keep is not None:
            kind, amount = self.keep
            check_choice("keep", kind, MASKS)
            low, high = (2.0, 1000.0) if kind == "periodic" else (1.0, 1000.0)
            amount = check_number(f"keep {kind}", amount, low, high, kind == "periodic")
            object.__setattr__(self, "keep", (kind, amount))
