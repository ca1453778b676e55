"""Figures for what can be heard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings

NEAR_S = 0.02
"""A boundary is heard in so many seconds to either side."""

HIGH_HZ = 8_000
"""A click has most of its energy above this."""


def mel_fit(mel: Tensor, sound: Tensor, spectrogram: SpectrogramSettings) -> dict[str, float]:
    """How well the mel of `sound` fits log-mel `mel` ``[n_mels, frames]``.

    ``l1`` is the mean absolute difference of the log-mels, ``convergence`` the norm of
    the difference of the mel amplitudes by that of the target's, and ``onsets`` the
    correlation of the rise from frame to frame, summed over the bands.
    """
    result = spectrogram.log_mel(sound)
    mel = mel[:, : result.shape[1]]
    amplitude, wanted = (m.clamp(min=0).expm1() ** (1 / spectrogram.power) for m in (result, mel))
    rises = torch.stack([m.diff(dim=1).clamp(min=0).sum(dim=0) for m in (result, mel)])
    return {
        "l1": float((result - mel).abs().mean()),
        "convergence": float((amplitude - wanted).norm() / wanted.norm()),
        "onsets": float(torch.corrcoef(rises)[0, 1]),
    }


def seam_figures(audio: np.ndarray, sample_rate: int, places: Sequence[int]) -> np.ndarray:
    """What clicks show in, near each of `places` (samples), float64 ``[place, 2]``.

    The first column is the energy above `HIGH_HZ`, the second the largest step from
    sample to sample, both within `NEAR_S`.
    """
    near = round(NEAR_S * sample_rate)
    pieces = np.stack([audio[place - near : place + near] for place in places]).astype(np.float64)
    spectrum = np.fft.rfft(pieces * np.hanning(2 * near), axis=1)
    high = np.fft.rfftfreq(2 * near, 1 / sample_rate) > HIGH_HZ
    energy = np.square(np.abs(spectrum[:, high])).sum(axis=1)
    return np.stack([energy, np.abs(np.diff(pieces)).max(axis=1)], axis=1)


def seam_ratios(
    audios: Sequence[np.ndarray], sample_rate: int, boundaries: Sequence[int]
) -> tuple[float, float]:
    """Medians of `seam_figures` at the boundaries of takes, by those amid their chunks."""
    amid = [(first + second) // 2 for first, second in pairwise(boundaries)]
    at, inside = (
        np.concatenate([seam_figures(audio, sample_rate, places) for audio in audios])
        for places in (boundaries, amid)
    )
    energy, step = np.median(at, axis=0) / np.median(inside, axis=0)
    return float(energy), float(step)


def change_figures(mel: Tensor, borders: Sequence[float], column: float) -> dict[str, float]:
    """Mean absolute change of a log-mel ``[n_mels, frames]`` from frame to frame.

    ``border`` is that within half a column of codes of `borders` (in frames), ``inside`` that
    of the rest, so that what the decoder does to every column counts alike in both;
    ``jump`` and ``jump_inside`` are the means of the largest change near each border, and near
    places as far as possible from them.
    """
    change = mel.diff(dim=1).abs().mean(dim=0)
    near = [_around(border, column, change) for border in borders]
    amid = [_around((a + b) / 2, column, change) for a, b in pairwise(borders)]
    at_border = torch.zeros(len(change), dtype=torch.bool)
    for place in near:
        at_border[place] = True
    return {
        "border": float(change[at_border].mean()),
        "inside": float(change[~at_border].mean()),
        "jump": float(torch.stack([change[place].max() for place in near]).mean()),
        "jump_inside": float(torch.stack([change[place].max() for place in amid]).mean()),
    }


def _around(border: float, column: float, change: Tensor) -> slice:
    return slice(max(0, round(border - column / 2)), min(len(change), round(border + column / 2)))


def second_figures(mel: Tensor, frames: int) -> dict[str, float]:
    """How the mean spectra of the seconds of a log-mel ``[n_mels, frames]`` differ.

    ``neighbours`` is the mean absolute difference of one second and the next, ``spread`` that
    of the seconds and their mean.

    Args:
        frames: of a second.
    """
    seconds = mel.shape[1] // frames
    spectra = mel[:, : seconds * frames].unflatten(1, (seconds, frames)).mean(dim=2)
    return {
        "neighbours": float(spectra.diff(dim=1).abs().mean()),
        "spread": float((spectra - spectra.mean(dim=1, keepdim=True)).abs().mean()),
    }
