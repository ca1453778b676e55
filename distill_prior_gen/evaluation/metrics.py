"""Metrics of audible faults: errors of vocoders, clicks at seams, changes of the spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings

SEAM_SECONDS = 0.02
"""Half the length of the section around a place in which clicks are measured."""

MIN_CLICK_HZ = 8_000
"""Clicks have most of their energy above this frequency."""


def mel_fit(mel: Tensor, sound: Tensor, spectrogram: SpectrogramSettings) -> dict[str, float]:
    """How well the log-mel of a waveform fits the log-mel that it was made from.

    Args:
        mel: target log-mel, float32 ``[n_mels, frames]``.
        sound: waveform, float32 ``[samples]``.
        spectrogram: settings of the target.

    Returns:
        ``l1``: mean absolute difference of the log-mels, 0 for a perfect fit.

        ``convergence``: spectral convergence of the mel amplitudes, the Frobenius norm of their
        difference divided by that of the target, 0 for a perfect fit (Arik et al. 2018, Fast
        Spectrogram Inversion using Multi-head Convolutional Neural Networks, arXiv 1808.06719).

        ``onsets``: correlation of the rises from frame to frame, summed over the bands, from -1
        to 1 for a perfect fit.
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


def seam_metrics(audio: np.ndarray, sample_rate: int, places: Sequence[int]) -> np.ndarray:
    """Metrics of clicks near places in a waveform.

    Args:
        audio: waveform, ``[samples]``.
        sample_rate: sample rate in Hz.
        places: positions in samples, at least `SEAM_SECONDS` from either end.

    Returns:
        float64 ``[place, 2]``: the energy above `MIN_CLICK_HZ`, and the largest absolute
        difference of neighbouring samples, both within `SEAM_SECONDS` of the place.
    """
    near = round(SEAM_SECONDS * sample_rate)
    pieces = np.stack([audio[place - near : place + near] for place in places]).astype(np.float64)
    spectrum = np.fft.rfft(pieces * np.hanning(2 * near), axis=1)
    high = np.fft.rfftfreq(2 * near, 1 / sample_rate) > MIN_CLICK_HZ
    energy = np.square(np.abs(spectrum[:, high])).sum(axis=1)
    return np.stack([energy, np.abs(np.diff(pieces)).max(axis=1)], axis=1)


def seam_ratios(
    audios: Sequence[np.ndarray], sample_rate: int, boundaries: Sequence[int]
) -> tuple[float, float]:
    """Median `seam_metrics` at chunk boundaries divided by the median at chunk centres.

    Args:
        audios: waveforms ``[samples]`` with the same boundaries.
        sample_rate: sample rate in Hz.
        boundaries: at least two positions in samples.

    Returns:
        Ratios of the energy and of the largest difference; 1 means that seams cannot be heard.
    """
    centres = [(first + second) // 2 for first, second in pairwise(boundaries)]
    at_seams, at_centres = (
        np.concatenate([seam_metrics(audio, sample_rate, places) for audio in audios])
        for places in (boundaries, centres)
    )
    energy, step = np.median(at_seams, axis=0) / np.median(at_centres, axis=0)
    return float(energy), float(step)


def change_metrics(mel: Tensor, borders: Sequence[float], column: float) -> dict[str, float]:
    """How much a log-mel changes from frame to frame, at borders and elsewhere.

    Change is the absolute difference of neighbouring frames, averaged over the bands.

    Args:
        mel: log-mel, float32 ``[n_mels, frames]``.
        borders: at least two positions in frames.
        column: width of a column of codes in frames. The section around a border is this wide,
            so that what the decoder does in each column affects all sections alike.

    Returns:
        ``border`` and ``inside``: mean change within the sections around the borders, and
        outside of them.

        ``jump`` and ``jump_inside``: largest change in a section, averaged over the sections
        around the borders, and over sections halfway between borders.
    """
    change = mel.diff(dim=1).abs().mean(dim=0)
    sections = [_section(border, column, change) for border in borders]
    between = [_section((a + b) / 2, column, change) for a, b in pairwise(borders)]
    at_border = torch.zeros(len(change), dtype=torch.bool)
    for section in sections:
        at_border[section] = True
    return {
        "border": float(change[at_border].mean()),
        "inside": float(change[~at_border].mean()),
        "jump": float(torch.stack([change[section].max() for section in sections]).mean()),
        "jump_inside": float(torch.stack([change[section].max() for section in between]).mean()),
    }


def _section(centre: float, width: float, change: Tensor) -> slice:
    return slice(max(0, round(centre - width / 2)), min(len(change), round(centre + width / 2)))


def second_metrics(mel: Tensor, frames_per_second: int) -> dict[str, float]:
    """How much the mean spectra of the seconds of a log-mel differ.

    Args:
        mel: log-mel, float32 ``[n_mels, frames]``, at least two seconds long.
        frames_per_second: number of frames in a second.

    Returns:
        ``neighbours``: mean absolute difference of each second and the next.

        ``spread``: mean absolute difference of the seconds and their mean.
    """
    seconds = mel.shape[1] // frames_per_second
    whole_seconds = mel[:, : seconds * frames_per_second]
    spectra = whole_seconds.unflatten(1, (seconds, frames_per_second)).mean(dim=2)
    return {
        "neighbours": float(spectra.diff(dim=1).abs().mean()),
        "spread": float((spectra - spectra.mean(dim=1, keepdim=True)).abs().mean()),
    }
