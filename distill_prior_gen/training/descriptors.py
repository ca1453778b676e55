"""Descriptors of sound that musicians have words for: loud, bright, noisy, dense.

References:
    G. Peeters: A large set of audio features for sound description. 2004, CUIDADO project report
    (centroid and flatness).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.onsets import onset_envelope
from distill_prior_gen.config import DESCRIPTORS
from distill_prior_gen.networks.vqvae import STRIDE

WINDOW_S = 1.0
"""Length in seconds of the time around a column that its descriptors are taken from."""

SILENCE = 1e-6
"""Power relative to the largest of the recording below which a band is silent: -60 dB."""


class ColumnSums(NamedTuple):
    """Sums over the frames of columns, float64 ``[column]`` each, which descriptors are made from.

    Attributes:
        frames: number of frames.
        heard: number of frames with sound.
        power: power of all bands.
        magnitude: magnitudes of the bands with sound.
        height: these magnitudes times the number of their bands.
        flatness: spectral flatness in dB of the frames with sound.
        rise: onset envelope.
    """

    frames: Tensor
    heard: Tensor
    power: Tensor
    magnitude: Tensor
    height: Tensor
    flatness: Tensor
    rise: Tensor


def sum_columns(mel: Tensor) -> ColumnSums:
    """Sums over columns of `STRIDE` frames, the last of which may be incomplete.

    Args:
        mel: log1p mel power ``[n_mels, frames]`` of a whole recording.
    """
    power = mel.expm1().clamp(min=0).double()
    floor = SILENCE * float(power.max())
    sounding = power > floor
    heard = sounding.any(dim=0)
    magnitude = power.sqrt() * sounding
    bands = torch.arange(len(power), device=mel.device)[:, None]
    flatness = 10 * ((power + floor).log10().mean(dim=0) - (power + floor).mean(dim=0).log10())
    values = torch.stack(
        [
            torch.ones_like(power[0]),
            heard.double(),
            power.sum(dim=0),
            magnitude.sum(dim=0),
            (bands * magnitude).sum(dim=0),
            flatness.where(heard, 0),
            onset_envelope(power),
        ]
    )
    padded = F.pad(values, (0, -mel.shape[1] % STRIDE))
    return ColumnSums(*padded.unflatten(1, (-1, STRIDE)).sum(dim=2).unbind())


def describe(sums: ColumnSums, frame_rate: float) -> Tensor:
    """Descriptors of columns, over about a second around each.

    - *loud*: level in dB.
    - *bright*: mean of the mel band numbers, weighted by magnitude (spectral centroid).
    - *noisy*: ratio of the geometric and the arithmetic mean of the power in dB (spectral
      flatness).
    - *dense*: mean rise of the level of wide bands from frame to frame in dB (spectral flux).

    Args:
        sums: sums over the columns.
        frame_rate: frames per second.

    Returns:
        float32 ``[column, descriptor]`` in the order of `DESCRIPTORS`; NaN where there is no sound
        to describe.
    """
    reach = max(1, round(WINDOW_S * frame_rate / STRIDE)) // 2
    kernel = torch.ones(1, 1, 2 * reach + 1).to(sums.power)
    around = ColumnSums(*F.conv1d(torch.stack(sums)[:, None], kernel, padding=reach)[:, 0])
    described = {
        "loud": 10 * (around.power / around.frames).log10(),
        "bright": around.height / around.magnitude,
        "noisy": around.flatness / around.heard,
        "dense": around.rise / around.heard,
    }
    values = torch.stack([described[name] for name in DESCRIPTORS], dim=1)
    return values.where((around.heard > 0)[:, None] & values.isfinite(), math.nan).float()
