"""Onsets: moments at which a sound begins.

References:
    S. Böck, G. Widmer: Maximum filter vibrato suppression for onset detection. 2013, DAFx
    (spectral flux).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

FLUX_BANDS = 8
"""Number of wide bands in which onsets are found."""

FLUX_FLOOR_DB = -40.0
"""Level relative to the loudest frame below which changes are no onsets."""

ONSET_FRAMES = 4
"""Frames within which the level of an onset rises, and within which there is one onset only."""

ONSET_DB = 3.0
"""Mean rise of the level of wide bands within `ONSET_FRAMES` from which on there is an onset."""


def onset_envelope(power: Tensor) -> Tensor:
    """Mean rise of the level of wide bands from frame to frame in dB, ``[frame]``.

    Before the first frame there is silence, so that a sound which begins is an onset.

    Args:
        power: mel power, float64 ``[n_mels, frames]``.
    """
    wide = F.adaptive_avg_pool1d(power.mT, min(FLUX_BANDS, len(power))).mT
    smooth = F.avg_pool1d(wide[None], 3, 1, 1, count_include_pad=False)[0]
    level = 10 * (smooth + 1e-12).log10()
    floor = float(level.max()) + FLUX_FLOOR_DB
    level = F.pad(level.clamp(min=floor), (1, 0), value=floor)
    return level.diff(dim=1).clamp(min=0).mean(dim=0)


def find_onsets(power: Tensor) -> list[int]:
    """Frames at which a sound begins: where the level of the bands rises most.

    Args:
        power: mel power, float64 ``[n_mels, frames]``.
    """
    envelope = F.pad(onset_envelope(power), (ONSET_FRAMES - 1, 0))
    rise = envelope.unfold(0, ONSET_FRAMES, 1).sum(dim=1)
    highest = F.max_pool1d(rise[None], 2 * ONSET_FRAMES + 1, 1, ONSET_FRAMES)[0]
    onsets: list[int] = []
    for frame in ((rise == highest) & (rise >= ONSET_DB)).nonzero().flatten().tolist():
        first = max(0, frame - ONSET_FRAMES + 1)
        begins = first + int(envelope[frame : frame + ONSET_FRAMES].argmax())
        if not onsets or begins - onsets[-1] > ONSET_FRAMES:
            onsets.append(begins)
    return onsets
