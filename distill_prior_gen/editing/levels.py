"""Levels of new sound that comes between old sound.

The decoder smooths the peaks of tones, so that what it renders of a recording is often quieter than
the recording. New sound among old samples would drop in level.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

SILENCE_DB = -70.0
"""Level below which sound is not scaled."""

MAX_CHANGE_DB = 15.0
"""Largest change of a level."""


def column_levels(audio: Tensor, start: int, column: float, columns: int) -> np.ndarray:
    """Level of each column of a code map in dB, float64 ``[column]``.

    Args:
        audio: float32 ``[samples]``.
        start: sample at which the first column begins; may be negative.
        column: length of a column in samples.
        columns: number of columns.
    """
    ends = [min(max(0, round(start + n * column)), len(audio)) for n in range(columns + 1)]
    return np.array([_level(audio[first:last]) for first, last in pairwise(ends)])


def match_margins(new: Tensor, old: Tensor, start: int, end: int) -> Tensor:
    """New sound scaled so that it is as loud as the old one before and after it.

    Args:
        new: float32 ``[samples]``, which renders the same codes as `old` before `start` and after
            `end`.
        old: float32 ``[samples]``.
        start, end: first sample that is new, and the one after the last. In between the gain
            moves linearly in dB.

    Returns:
        float32 ``[samples]``.
    """
    margins = (slice(0, start), slice(end, len(old)))
    gains = [_gain(_level(old[margin]), _level(new[margin])) for margin in margins]
    known = [gain for gain in gains if gain is not None]
    if not known:
        return new
    before, after = (known[0] if gain is None else gain for gain in gains)
    return _scaled(new, np.array([start, end]), np.array([before, after]))


def match_levels(new: Tensor, levels: np.ndarray, start: int, column: float) -> Tensor:
    """New sound scaled to the levels of columns.

    Args:
        new: float32 ``[samples]``.
        levels: in dB, ``[column]``.
        start: sample at which the first column begins; may be negative.
        column: length of a column in samples.

    Returns:
        float32 ``[samples]``.
    """
    present = column_levels(new, start, column, len(levels))
    gains = [_gain(*pair) or 0.0 for pair in zip(levels, present, strict=True)]
    return _scaled(new, start + column * (np.arange(len(levels)) + 0.5), np.array(gains))


def _level(audio: Tensor) -> float:
    power = float(audio.double().square().mean()) if len(audio) else 0.0
    return 10 * np.log10(power + 1e-12)


def _gain(wanted: float, present: float) -> float | None:
    """Change of a level in dB, or None where there is silence."""
    if min(wanted, present) < SILENCE_DB:
        return None
    return float(np.clip(wanted - present, -MAX_CHANGE_DB, MAX_CHANGE_DB))


def _scaled(audio: Tensor, places: np.ndarray, gains: np.ndarray) -> Tensor:
    decibels = np.interp(np.arange(len(audio)), places, gains)
    return audio * torch.from_numpy(10 ** (decibels / 20)).float()
