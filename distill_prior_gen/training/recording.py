"""A recording to train on, and the level below which it counts as silent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_FILE_PEAK = 1e-4
"""A recording is silent if its peak is below this."""

MIN_CHUNK_RATIO = 0.01
"""A chunk is silent if its peak is below this fraction of its recording's level."""

LEVEL_FRAMES = 100
"""Number of frames in which the level of a recording is measured."""

LEVEL_QUANTILE = 0.9
"""The level is this quantile of the peaks of the frames, so that a click does not set it."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound file, or a part of it.

    Attributes:
        name: name of the file, relative to the folder.
        samples: mono waveform, float32 ``[samples]``.
        start: position in the file of the first sample.
        silence: chunks with a peak below this are silent. By default it follows from the level
            of the samples.
    """

    name: str
    samples: Tensor
    start: int = 0
    silence: float = field(default=-1.0, repr=False)

    def __post_init__(self) -> None:
        if self.silence < 0:
            peaks = frame_peaks(self.samples)
            level = float(torch.quantile(peaks, LEVEL_QUANTILE, interpolation="lower"))
            # Half of MIN_FILE_PEAK, so that a recording at another speed is not silent.
            silence = max(MIN_CHUNK_RATIO * level, MIN_FILE_PEAK / 2)
            object.__setattr__(self, "silence", silence)

    def part(self, start: int, end: int) -> Recording:
        """The samples from `start` to `end`, counted in this recording."""
        return replace(self, samples=self.samples[start:end], start=self.start + start)


def frame_peaks(samples: Tensor, max_frames: int = LEVEL_FRAMES) -> Tensor:
    """Peaks of a waveform ``[samples]`` in at most `max_frames` equal frames, ``[frames]``."""
    length = max(1, math.ceil(len(samples) / max_frames))
    return F.max_pool1d(samples.abs()[None], length, ceil_mode=True)[0]
