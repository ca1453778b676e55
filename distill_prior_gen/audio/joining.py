"""Joining chunks into a take."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pieces_needed(total: int, length: int, overlap: int) -> int:
    """How many pieces of `length` that overlap by `overlap` make at least `total`."""
    return max(1, math.ceil((total - overlap) / (length - overlap)))


def overlap_add(pieces: Tensor, overlap: int) -> Tensor:
    """Join pieces along their last axis, crossfading over `overlap` of its elements.

    The fades are the two halves of a Hann window, the falling one for the earlier
    piece; they add up to one.

    Args:
        pieces: ``[piece, ..., length]``, waveforms or mel powers.
        overlap: from 0 to half of `length`.

    Returns:
        ``[..., pieces * length - (pieces - 1) * overlap]``.
    """
    count, length = pieces.shape[0], pieces.shape[-1]
    step = length - overlap
    phase = (torch.arange(overlap, device=pieces.device) + 0.5) / max(overlap, 1)
    rising = torch.sin(phase * math.pi / 2).square().to(pieces.dtype)
    joined = pieces.new_zeros(*pieces.shape[1:-1], (count - 1) * step + length)
    for index, piece in enumerate(pieces):
        weight = torch.ones_like(piece[..., :])
        if index > 0:
            weight[..., :overlap] = rising
        if index < count - 1:
            weight[..., length - overlap :] = 1 - rising
        joined[..., index * step : index * step + length] += piece * weight
    return joined


def join_log_mels(mels: Tensor, overlap: int) -> Tensor:
    """Join log-mels ``[chunk, n_mels, frames]`` into one; the fade is linear in power.

    Sounds that have nothing to do with each other add up in power, so their sum
    keeps its loudness through the fade.
    """
    return overlap_add(mels.expm1(), overlap).log1p()
