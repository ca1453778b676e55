"""How different two sounds are."""

from __future__ import annotations

from collections.abc import Iterator
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
    differences = []
    for spectra in _spectra(sound, reference):
        floor = 10 ** (FLOOR_DB / 20) * float(spectra[1].max())
        levels = [20 * (magnitudes + floor).log10() for magnitudes in spectra]
        differences.append(float((levels[0] - levels[1]).abs().mean()))
    return mean(differences) if differences else 0.0


def spectral_convergence(sound: Tensor, reference: Tensor) -> float:
    """Spectral convergence: how far magnitudes are from those of a reference.

    The Frobenius norm of their difference is divided by the norm of the magnitudes of the
    reference, and the ratio is averaged over three resolutions; see Arik et al. 2018, arXiv
    1808.06719.

    Args:
        sound, reference: waveforms ``[samples]``. The shorter length counts.

    Returns:
        0 for equal sounds, and also if they are shorter than the smallest window.
    """
    ratios = [float((a - b).norm() / b.norm()) for a, b in _spectra(sound, reference)]
    return mean(ratios) if ratios else 0.0


def _spectra(*sounds: Tensor) -> Iterator[list[Tensor]]:
    """Magnitudes of each sound at each resolution that is shorter than the sounds."""
    length = min(map(len, sounds))
    for size in RESOLUTIONS:
        if size <= length:
            window = torch.hann_window(size, device=sounds[0].device)
            yield [
                torch.stft(wave[:length], size, size // 4, window=window, return_complex=True).abs()
                for wave in sounds
            ]
