"""What a take is made with: fields, defaults and ranges, for every interface."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

Progress = Callable[[float, str], None]
"""Called with the share that is done (0 to 1) and what is going on; may raise to stop the work."""


def no_progress(share: float, text: str) -> None:
    """A `Progress` that shows nothing."""


LIMITS: dict[str, tuple[Any, Any]] = {
    "temperature": (0.1, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (0, 512),
    "min_p": (0.0, 1.0),
    "duration": (1.0, 30.0),
    "overlap": (0.0, 200.0),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of each number in `GenerationConfig`, both included."""

JOINS = ("spectral", "crossfade")
"""Ways to join chunks: as mels, with one phase over the whole take, or as waveforms."""


QUALITIES = ("fast", "normal", "best")
"""How long vocoders work on a waveform."""


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of a take.

    Args:
        temperature: divides the logits; below 1 more typical, above 1 more surprising.
        top_p: nucleus, the share of probability that is kept; 0 and 1 keep all.
        top_k: how many of the likeliest codes are kept; 0 keeps all.
        min_p: how likely a code must be, by the likeliest, to be kept; 0 keeps all.
        duration: length of the take in seconds.
        allow_long: lifts the upper limit of `duration`.
        overlap: crossfade between chunks in milliseconds; limited to half a chunk.
        join: ``"spectral"`` or ``"crossfade"``, see `JOINS`.
        sampler: name of the method that draws codes from the prior.
        vocoder: name of the method that turns a mel spectrogram into a waveform.
        quality: one of `QUALITIES`, how long the vocoder works.
        seed: the same seed and settings give the same take; None draws one.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    temperature: float = 1.0
    top_p: float = 0.9
    top_k: int = 0
    min_p: float = 0.0
    duration: float = 10.0
    allow_long: bool = False
    overlap: float = 50.0
    join: str = "spectral"
    sampler: str = "autoregressive"
    vocoder: str = "mel-griffin-lim"
    quality: str = "normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        for field, (low, high) in LIMITS.items():
            value = getattr(self, field)
            if field == "seed" and value is None:
                continue
            if field == "duration" and self.allow_long:
                high = math.inf
            integral = field in ("top_k", "seed")
            is_number = isinstance(value, Integral if integral else Real)
            if not is_number or isinstance(value, bool):
                expected = "a whole number" if integral else "a number"
                raise ValueError(f"{field} must be {expected}, not {value!r}")
            if not low <= value <= high or math.isinf(value):
                limits = f"at least {low}" if math.isinf(high) else f"from {low} to {high}"
                raise ValueError(f"{field} must be {limits}, not {value}")
            object.__setattr__(self, field, int(value) if integral else float(value))
        for field in ("sampler", "vocoder"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"{field} must be a name, not {getattr(self, field)!r}")
        for field, choices in (("join", JOINS), ("quality", QUALITIES)):
            value = getattr(self, field)
            if value not in choices:
                raise ValueError(f"{field} must be one of {', '.join(choices)}, not {value!r}")


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
