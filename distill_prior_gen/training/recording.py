"""A recording to train on, and what of it is heard."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

SILENT_FILE = 1e-4
"""A recording is silent if its largest sample is below this."""

SILENT_CHUNK = 0.01
"""A chunk is silent if its largest sample is below this share of the level of its recording."""

FRAMES = 100
"""Frames of a recording in which its level is measured."""

LEVEL = 0.9
"""Share of the frames that are no louder than the level; the loudest tenth does not set it."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound file, or a part of it.

    Attributes:
        name: of the file, relative to the folder.
        samples: float32 ``[samples]``, mono.
        start: where they begin in the file, in samples.
        silence: chunks whose largest sample is below this are silent; by default it follows
            from the level of the samples.
    """

    name: str
    samples: Tensor
    start: int = 0
    silence: float = field(default=-1.0, repr=False)

    def __post_init__(self) -> None:
        if self.silence < 0:
            level = float(torch.quantile(frame_peaks(self.samples), LEVEL, interpolation="lower"))
            # Half of SILENT_FILE, so that a recording at another speed is still heard.
            object.__setattr__(self, "silence", max(SILENT_CHUNK * level, SILENT_FILE / 2))

    def part(self, start: int, end: int) -> Recording:
        """The samples from `start` to `end`, in samples of this recording."""
        return replace(self, samples=self.samples[start:end], start=self.start + start)


def frame_peaks(samples: Tensor, frames: int = FRAMES) -> Tensor:
    """Largest absolute sample in each of at most so many equal frames, ``[frames]``."""
    length = max(1, -(-len(samples) // frames))
    return F.max_pool1d(samples.abs()[None], length, ceil_mode=True)[0]
