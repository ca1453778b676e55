"""Loudness of files.

References:
    Recommendation ITU-R BS.1770-4: Algorithms to measure audio programme loudness and true-peak
    audio level. 2015.
"""

from __future__ import annotations

import math

import numpy as np
import soxr
import torch

from distill_prior_gen.audio.mel import import_torchaudio
from distill_prior_gen.formats import TRUE_PEAK_DB

SHORTEST_S = 0.5
"""Sound that is shorter is repeated, since loudness is measured in blocks of 0.4 s."""

HEADROOM = 0.5
"""Factor before the filters, since torchaudio's cut off everything beyond -1 and 1."""

SILENCE_LUFS = -60.0
"""Loudness below which sound counts as silence."""

OVERSAMPLING = 4
"""Factor of the sample rate at which peaks between samples are found."""


def measure_loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS, or minus infinity for silence.

    Args:
        audio: float32 ``[samples]``, or ``[samples, channel]``.
        sample_rate: in Hz.
    """
    turns = math.ceil(SHORTEST_S * sample_rate / len(audio))
    wave = HEADROOM * torch.from_numpy(np.tile(np.atleast_2d(audio.T), turns)).double()
    measured = float(import_torchaudio().functional.loudness(wave, sample_rate))
    measured -= 20 * math.log10(HEADROOM)
    return measured if measured > SILENCE_LUFS else -math.inf  # NaN where no block is loud


def true_peak(audio: np.ndarray, sample_rate: int) -> float:
    """Largest amplitude between the samples.

    Args:
        audio: float32 ``[samples]``, or ``[samples, channel]``.
        sample_rate: in Hz.
    """
    beyond = np.pad(audio, ((64, 64), (0, 0))[: audio.ndim])
    between = soxr.resample(beyond, sample_rate, OVERSAMPLING * sample_rate, quality="VHQ")
    return float(max(np.abs(audio).max(), np.abs(between).max()))


def gain_for_loudness(audio: np.ndarray, sample_rate: int, loudness: float) -> float:
    """Factor that gives a sound a loudness, or less where its peaks would be too high.

    Args:
        audio: float32 ``[samples]``, or ``[samples, channel]``.
        sample_rate: in Hz.
        loudness: in LUFS.

    Returns:
        The factor; 1 for silence. Peaks between samples stay below `TRUE_PEAK_DB`.
    """
    present = measure_loudness(audio, sample_rate)
    if present == -math.inf:
        return 1.0
    highest = 10 ** (TRUE_PEAK_DB / 20) / true_peak(audio, sample_rate)
    return float(min(10 ** ((loudness - present) / 20), highest))
