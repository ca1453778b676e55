"""Joining chunks into a take."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FADE_IN_S, FADE_OUT_S = 0.002, 0.01
"""Fades at the ends of sound that does not loop; the first is too short to dull an attack."""


def fade_ends(sound: Tensor, sample_rate: int) -> Tensor:
    """Fade in and out, so that neither end clicks.

    Args:
        sound: ``[samples]``.
        sample_rate: in Hz.
    """
    rise, fall = (
        min(round(seconds * sample_rate), len(sound) // 2) for seconds in (FADE_IN_S, FADE_OUT_S)
    )
    faded = sound.clone()
    faded[:rise] *= rising_fade(rise)
    faded[len(faded) - fall :] *= rising_fade(fall).flip(0)
    return faded


def pieces_needed(total: int, length: int, overlap: int) -> int:
    """Number of pieces with a length and an overlap that cover at least `total`."""
    return max(1, math.ceil((total - overlap) / (length - overlap)))


def overlap_add(pieces: Tensor, overlap: int) -> Tensor:
    """Join pieces along their last axis with crossfades.

    The fades are the two halves of a Hann window, which add up to one.

    Args:
        pieces: ``[piece, ..., length]``, waveforms or mel powers.
        overlap: length of the crossfades, from 0 to half of `length`.

    Returns:
        ``[..., pieces * length - (pieces - 1) * overlap]``.
    """
    count, length = pieces.shape[0], pieces.shape[-1]
    step = length - overlap
    rising = rising_fade(overlap).to(pieces)
    joined = pieces.new_zeros(*pieces.shape[1:-1], (count - 1) * step + length)
    for index, piece in enumerate(pieces):
        weight = torch.ones_like(piece[..., :])
        if index > 0:
            weight[..., :overlap] = rising
        if index < count - 1:
            weight[..., length - overlap :] = 1 - rising
        joined[..., index * step : index * step + length] += piece * weight
    return joined


def rising_fade(length: int) -> Tensor:
    """The rising half of a Hann window, ``[length]``."""
    phase = (torch.arange(length) + 0.5) / max(length, 1)
    return torch.sin(phase * math.pi / 2).square()


def close_loop(sound: Tensor, overlap: int) -> Tensor:
    """Crossfade the last `overlap` elements of ``[..., length]`` into the first.

    Returns:
        ``[..., length - overlap]``, which can be repeated end to end.
    """
    length = sound.shape[-1] - overlap
    return overlap_add(torch.stack([sound, sound]), overlap)[..., length : 2 * length]


def stretched_frames(frames: int, new_frames: int) -> Tensor:
    """Indices that stretch `frames` frames to `new_frames` by dropping or repeating some.

    Interpolation would blur some places more than others.

    Returns:
        int64 ``[new_frames]``.
    """
    return torch.arange(new_frames) * frames // new_frames


def resample_loop(sound: Tensor, samples: int) -> Tensor:
    """Resample a loop to `samples` samples through its Fourier series."""
    return torch.fft.irfft(torch.fft.rfft(sound), n=samples) * (samples / sound.shape[-1])


def join_log_mels(mels: Tensor, overlap: int) -> Tensor:
    """Join log-mels ``[chunk, n_mels, frames]`` with crossfades that are linear in power.

    The powers of unrelated sounds add up, so the sum keeps its loudness during the fade.
    """
    return overlap_add(mels.expm1(), overlap).log1p()
