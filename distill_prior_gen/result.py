"""What is made: takes, and how they were changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.sampling.layout import Layout
from distill_prior_gen.sampling.prompt import Prompt
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.stereo import side_signal
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.validation import check_choice, check_number

OPERATIONS = ("redraw", "swap", "fill", "morph")
"""Changes of a take."""

MIN_GAIN = 2.0**-23
"""Smallest `GenerationResult.gain`, that of a recording of a single step."""

MAX_SAMPLES = 2**40
"""Samples of a take, at most."""


@dataclass(frozen=True, eq=False)
class Base:
    """What a take is made of that was not drawn.

    Attributes:
        codes: code map, int64 ``[row, column, level]``.
        samples: length of the take in samples.
        trim_start: frames at the beginning of the decoded codes that are not heard.
        sound: for a recording, its samples ``[samples]``, float32 within -1 and 1 in steps of
            2 ** -23; None for a take that was decoded from the codes.
        name: name of the recording, or "".
        gain: for a recording, the factor from the sound of the codes to its samples.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    codes: Tensor
    samples: int
    trim_start: int = 0
    sound: np.ndarray | None = None
    name: str = ""
    gain: float = 1.0

    def __post_init__(self) -> None:
        check_number("gain", self.gain, MIN_GAIN, 1.0)
        check_number("samples", self.samples, 1, MAX_SAMPLES, whole=True)
        check_number("trim_start", self.trim_start, 0, MAX_SAMPLES, whole=True)


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a take.

    Attributes:
        operation: one of `OPERATIONS`.
        settings: what was asked for, in values that JSON has: regions, amount and so on.
        config: settings of what is new, with the sampler, the vocoder and the seed.
        codes: code map after the change, int64 ``[row, column, level]``.
        samples: length of the take after it.
        gain: factor from the sound of the codes to that of the take before the change.
        spans: first sample of each part of the take that has a new sound, and the one after the
            last. In a loop they may lie beyond its ends.
        sound: for ``"fill"``, the sound at the end of the take, like `Base.sound`; else None.
        levels: for ``"morph"``, the level of each column in dB; else None, and the new sound is as
            loud as what is before and after it.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    operation: str
    settings: dict[str, Any]
    config: GenerationConfig
    codes: Tensor
    samples: int
    gain: float
    spans: tuple[tuple[int, int], ...]
    sound: np.ndarray | None = None
    levels: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("operation", self.operation, OPERATIONS)
        check_number("samples", self.samples, 1, MAX_SAMPLES, whole=True)
        check_number("gain", self.gain, MIN_GAIN, 1.0)
        for sample in (sample for span in self.spans for sample in span):
            check_number("spans", sample, -MAX_SAMPLES, MAX_SAMPLES, whole=True)
        for level in self.levels or ():
            check_number("levels", level, -200.0, 100.0)


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """A take.

    Attributes:
        audio: float32 ``[samples]``, within -1 and 1.
        sample_rate: in Hz.
        config: the settings, with the seed, the sampler and the vocoder that were used.
        codes: int64 ``[chunk, H * W, num_quantizers]``; where a sampler draws whole takes, one
            chunk of all columns.
        mel: log1p mel power that the codes were decoded to, float32 ``[n_mels, frames]``; with
            ``join="crossfade"`` the mels of the chunks one after the other.
        layout: where the chunks lie in the take.
        prompt: the recording that the take starts from, or None.
        gain: factor that keeps the waveform within -1 and 1, usually 1.
        timings: seconds for ``sample``, ``decode`` and ``invert``; takes of one call share the
            first equally.
        base: for a take that was not drawn, what it was made of; else None.
        edits: changes that were made to the take; its codes are then one chunk.
        unedited_codes: codes before the edits; None if there are none.
    """

    audio: np.ndarray
    sample_rate: int
    config: GenerationConfig
    codes: Tensor
    mel: Tensor
    layout: Layout
    prompt: Prompt | None
    gain: float
    timings: dict[str, float]
    base: Base | None = None
    edits: tuple[Edit, ...] = ()
    unedited_codes: Tensor | None = None

    def _repr_html_(self) -> str:
        """A picture and a player, which notebooks show."""
        from distill_prior_gen.notebook import player_html

        loop = ", loop" if self.config.loop else ""
        caption = f"{self.duration:.4g} s{loop}, seed {self.seed}"
        mel = self.mel.numpy()
        return player_html(self.channels, self.sample_rate, mel, self.config.loop, caption)

    @property
    def seed(self) -> int:
        """The seed that was used."""
        assert self.config.seed is not None
        return self.config.seed

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.audio) / self.sample_rate

    @property
    def first_codes(self) -> Tensor:
        """Its codes before the edits, like `codes`."""
        return self.codes if self.unedited_codes is None else self.unedited_codes

    @property
    def channels(self) -> np.ndarray:
        """What is heard: `audio` itself in mono, else left and right, float32 ``[samples, 2]``.

        The mean of left and right is `audio`. They may exceed -1 and 1; files are then scaled.
        """
        return self._left_and_right if self.config.width else self.audio

    @cached_property
    def _left_and_right(self) -> np.ndarray:
        config = self.config
        mid, noise = torch.from_numpy(self.audio), random_generator(self.seed, Purpose.WIDTH)
        with take_state():
            side = side_signal(mid, self.sample_rate, config.width, noise, config.loop)
        return torch.stack([mid + side, mid - side], dim=1).numpy()

    @property
    def boundaries(self) -> list[int]:
        """Samples at which the sound of one chunk gives way to that of the next."""
        return self.layout.boundaries
