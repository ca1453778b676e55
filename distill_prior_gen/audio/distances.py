"""How different two sounds are."""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor

RESOLUTIONS = (512, 2048, 8192)
"""Windows in samples; the hop is a quarter of them."""

FLOOR_DB = -60.0
"""Magnitudes this far below the peak of the reference and lower count as equal."""


def log_spectral_distance(sound: Tensor, reference: Tensor) -> float:
    """Mean absolute difference of log magnitudes, averaged over three resolutions.

    Compare the multi-resolution STFT loss of Yamamoto et al. 2020, Parallel WaveGAN, arXiv
    1910.11480.

    Args:
        sound, reference: waveforms ``[samples]``. The shorter length counts.

    Returns:
        The distance in dB, 0 for equal sounds. It is 0 if they are shorter than the smallest
        window.
    """
    length = min(len(sound), len(reference))
    differences = []
    for size in RESOLUTIONS:
        if length < size:
            break
        window = torch.hann_window(size, device=sound.device)
        magnitudes = [
            torch.stft(wave[:length], size, size // 4, window=window, return_complex=True).abs()
            for wave in (sound, reference)
        ]
        floor = 10 ** (FLOOR_DB / 20) * float(magnitudes[1].max())
        levels = [20 * (magnitude + floor).log10() for magnitude in magnitudes]
        differences.append(float((levels[0] - levels[1]).abs().mean()))
    return mean(differences) if differences else 0.0
