"""Descriptors of sound that musicians have words for: loud, bright, noisy, dense.

References:
    G. Peeters: A large set of audio features for sound description. 2004, CUIDADO project report
    (centroid and flatness).
    S. Böck, G. Widmer: Maximum filter vibrato suppression for onset detection. 2013, DAFx
    (spectral flux).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import DESCRIPTORS
from distill_prior_gen.networks.vqvae import STRIDE

WINDOW_S = 1.0
"""Length in seconds of the time around a column that its descriptors are taken from."""

SILENCE = 1e-6
"""Power relative to the largest of the recording below which a band is silent: -60 dB."""

FLUX_BANDS = 8
"""Number of wide bands in which onsets are found."""

FLUX_FLOOR_DB = -40.0
"""Level relative to the loudest frame below which changes are no onsets."""


def describe_columns(mel: Tensor, frame_rate: float) -> Tensor:
    """Descriptors of each column of `STRIDE` frames, over a second around it.

    - *loud*: level in dB.
    - *bright*: mean of the mel band numbers, weighted by magnitude (spectral centroid).
    - *noisy*: ratio of the geometric and the arithmetic mean of the power in dB (spectral
      flatness).
    - *dense*: mean rise of the level of wide bands from frame to frame in dB (spectral flux).

    Args:
        mel: log1p mel power ``[n_mels, frames]`` of a whole recording.
        frame_rate: frames per second.

    Returns:
        float32 ``[column, descriptor]`` in the order of `DESCRIPTORS`; NaN where there is no sound
        to describe.
    """
    power = mel.expm1().clamp(min=0).double()
    floor = SILENCE * float(power.max())
    sounding = power > floor
    bands = torch.arange(len(power), device=mel.device)[:, None]
    magnitude = power.sqrt() * sounding
    audible = sounding.any(dim=0)
    flatness = 10 * ((power + floor).log10().mean(dim=0) - (power + floor).mean(dim=0).log10())
    columns = math.ceil(mel.shape[1] / STRIDE)

    def average(frames: Tensor) -> Tensor:
        return _average_around(frames, columns, max(1, round(WINDOW_S * frame_rate / STRIDE)))

    heard = average(audible.double())
    described = {
        "loud": 10 * average(power.sum(dim=0)).log10(),
        "bright": average((bands * magnitude).sum(dim=0)) / average(magnitude.sum(dim=0)),
        "noisy": average(flatness.where(audible, 0)) / heard,
        "dense": average(onset_envelope(power)) / heard,
    }
    values = torch.stack([described[name] for name in DESCRIPTORS], dim=1)
    return values.where((heard > 0)[:, None] & values.isfinite(), math.nan).float()


def onset_envelope(power: Tensor) -> Tensor:
    """Mean rise of the level of wide bands from frame to frame in dB, ``[frame]``.

    Args:
        power: mel power, float64 ``[n_mels, frames]``.
    """
    wide = F.adaptive_avg_pool1d(power.mT, min(FLUX_BANDS, len(power))).mT
    smooth = F.avg_pool1d(wide[None], 3, 1, 1, count_include_pad=False)[0]
    level = 10 * (smooth + 1e-12).log10()
    level = level.clamp(min=float(level.max()) + FLUX_FLOOR_DB)
    return F.pad(level.diff(dim=1).clamp(min=0).mean(dim=0), (1, 0))


def _average_around(frames: Tensor, columns: int, window: int) -> Tensor:
    """Mean over about `window` columns around each column, ``[column]``."""
    weight = torch.ones_like(frames)
    padding = columns * STRIDE - len(frames)
    sums, counts = (
        F.pad(t, (0, padding)).view(columns, STRIDE).sum(dim=1) for t in (frames, weight)
    )
    reach = window // 2
    kernel = torch.ones(1, 1, 2 * reach + 1, dtype=frames.dtype, device=frames.device)
    total, count = (F.conv1d(t[None, None], kernel, padding=reach)[0, 0] for t in (sums, counts))
    return total / count
