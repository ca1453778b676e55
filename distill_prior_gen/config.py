"""What a take is made with: fields, defaults and ranges, for every interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import Any

Progress = Callable[[float, str], None]
"""Called with the share that is done (0 to 1) and what is going on; may raise to stop the work."""


def no_progress(share: float, text: str) -> None:
    """A `Progress` that shows nothing."""


LIMITS: dict[str, tuple[Any, Any]] = {
    "temperature": (0.1, 2.0),
    "temperature_end": (0.1, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 512),
    "min_p": (0.0, 1.0),
    "duration": (1.0, 30.0),
    "context_columns": (1, 16),
    "overlap": (0.0, 200.0),
    "vary": (0.0, 1.0),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of each number in `GenerationConfig`, both included."""

WHOLE = ("top_k", "context_columns", "seed")
PER_LEVEL = ("temperature", "temperature_end", "top_p", "top_k")
OPTIONAL = ("temperature_end", "vary", "seed")
FLAGS = ("allow_long", "prompt_crossfade", "loop")
"""Fields of `GenerationConfig`: whole numbers, those that may be given for each level, those
that may be None, and those that are True or False."""

ALIASES = {"autoregressive": "independent"}
"""Former names of samplers."""

JOINS = ("spectral", "crossfade")
"""Ways to join chunks: as mels, with one phase over the whole take, or as waveforms."""


QUALITIES = ("fast", "normal", "best")
"""How long vocoders work on a waveform."""


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of a take.

    Four of them may be a tuple with a value for each level of the quantizer, the coarsest
    first: structure, timbre, detail.

    Args:
        temperature: divides the logits; below 1 more typical, above 1 more surprising. May be
            given for each level.
        temperature_end: the temperature moves evenly to this one over the take; None stays. May
            be given for each level.
        top_p: nucleus, the share of probability that is kept; 0 and 1 keep all. May be given
            for each level.
        top_k: how many of the likeliest codes are kept; 0 keeps all. May be given for each
            level.
        min_p: keep codes whose probability is at least `min_p` times that of the likeliest; 0 keeps
            all.
        duration: length of the take in seconds; with `vary`, that of the prompt counts.
        allow_long: lifts the upper limit of `duration`.
        sampler: name of the method that draws codes from the prior.
        context_columns: columns of the code map (time) that a chunk takes over from the chunk
            before, with a sampler that continues; limited to what a chunk has.
        overlap: crossfade between chunks in milliseconds, with a sampler that does not
            continue; limited to half a chunk.
        join: ``"spectral"`` or ``"crossfade"``, see `JOINS`; as `overlap`.
        prompt: path of a recording that the take continues; longer ones than a chunk are
            used from their end.
        prompt_crossfade: the take begins with the prompt itself, not with what the model
            makes of it, faded over `overlap` into what follows.
        vary: instead of continuing the prompt, the take is a variation of it in which this
            share of its codes is drawn anew; 0 is the model's reconstruction.
        loop: the end of the take leads into its beginning.
        vocoder: name of the method that turns a mel spectrogram into a waveform.
        quality: one of `QUALITIES`, how long the vocoder works.
        seed: the same seed and settings give the same take; None draws one.

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
    sampler: str = "continue"
    context_columns: int = 2
    overlap: float = 50.0
    join: str = "spectral"
    prompt: str | None = None
    prompt_crossfade: bool = False
    vary: float | None = None
    loop: bool = False
    vocoder: str = "mel-griffin-lim"
    quality: str = "normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in LIMITS:
            value = getattr(self, field)
            if value is None and field in OPTIONAL:
                continue
            if field in PER_LEVEL and isinstance(value, list | tuple) and value:
                checked: Any = tuple(self._checked(field, one) for one in value)
                checked = checked[0] if len(checked) == 1 else checked
            else:
                checked = self._checked(field, value)
            object.__setattr__(self, field, checked)
        for field in FLAGS:
            if not isinstance(getattr(self, field), bool):
                raise ValueError(f"{field} must be True or False, not {getattr(self, field)!r}")
        for field in ("sampler", "vocoder"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"{field} must be a name, not {getattr(self, field)!r}")
        object.__setattr__(self, "sampler", ALIASES.get(self.sampler, self.sampler))
        for field, choices in (("join", JOINS), ("quality", QUALITIES)):
            value = getattr(self, field)
            if value not in choices:
                raise ValueError(f"{field} must be one of {', '.join(choices)}, not {value!r}")
        if self.prompt is not None:
            if not isinstance(self.prompt, str | PathLike):
                raise ValueError(f"prompt must be the path of a recording, not {self.prompt!r}")
            object.__setattr__(self, "prompt", str(self.prompt))
        if self.prompt is None and (self.prompt_crossfade or self.vary is not None):
            field = "prompt_crossfade" if self.prompt_crossfade else "vary"
            raise ValueError(f"{field} needs a prompt")
        if self.vary is not None and (self.loop or self.prompt_crossfade):
            field = "loop" if self.loop else "prompt_crossfade"
            raise ValueError(f"vary and {field} do not go together; leave out one of them")
        if self.loop and self.prompt_crossfade:
            raise ValueError("loop and prompt_crossfade do not go together; leave out one of them")

    def _checked(self, field: str, value: Any) -> float:
        low, high = LIMITS[field]
        if field == "duration" and self.allow_long:
            high = math.inf
        integral = field in WHOLE
        is_number = isinstance(value, Integral if integral else Real)
        if not is_number or isinstance(value, bool):
            expected = "a whole number" if integral else "a number"
            raise ValueError(f"{field} must be {expected}, not {value!r}")
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf if value > 0 else -math.inf
        if not math.isfinite(number) or not low <= value <= high:
            limits = f"at least {low}" if math.isinf(high) else f"from {low} to {high}"
            shown = value if math.isfinite(number) else number
            raise ValueError(f"{field} must be {limits}, not {shown}")
        return int(value) if integral else float(value)

    def overlap_samples(self, sample_rate: int) -> int:
        """Length of `overlap` in samples."""
        return round(self.overlap / 1000 * sample_rate)

    def per_level(self, field: str, levels: int) -> tuple[Any, ...]:
        """The values of a field for each of `levels` levels.

        Raises:
            ValueError: if there is another number of them.
        """
        value = getattr(self, field)
        values = value if isinstance(value, tuple) else (value,) * levels
        if len(values) != levels:
            raise ValueError(
                f"{field} has {len(values)} values, but the model has {levels} levels; "
                f"give one value, or {levels}"
            )
        return values


FORMATS: dict[str, tuple[int, ...]] = {"wav": (16, 24, 32), "flac": (16, 24), "ogg": (), "mp3": ()}
"""Audio file formats and the bit depths they come in, 32 being float; none where lossy."""

SAMPLE_RATES = (44_100, 48_000, 96_000)
MP3_SAMPLE_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class ExportConfig:
    """How a take is written to a file.

    Args:
        format: one of `FORMATS`.
        sample_rate: in Hz, one of `SAMPLE_RATES`; None keeps the model's.
        bit_depth: 16, 24 or (WAV) 32 for float; None takes 24 where there is a choice.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    format: str = "wav"
    sample_rate: int | None = None
    bit_depth: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.sample_rate not in (None, *SAMPLE_RATES):
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise ValueError(f"sample_rate must be one of {rates}, not {self.sample_rate!r}")
        if self.format == "mp3" and self.sample_rate not in (None, *MP3_SAMPLE_RATES):
            raise ValueError(f"sample_rate must be 44100 or 48000 for mp3, not {self.sample_rate}")
        depths = FORMATS[self.format]
        if self.bit_depth is not None and self.bit_depth not in depths:
            allowed = " or ".join(map(str, depths)) or "left out"
            raise ValueError(
                f"bit_depth must be {allowed} for {self.format}, not {self.bit_depth!r}"
            )
