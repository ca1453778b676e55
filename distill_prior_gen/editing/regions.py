"""Which codes of a take belong to regions of time and frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.onsets import find_onsets
from distill_prior_gen.config import Region
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout


def find_codes(
    model: PriorModel,
    take: GenerationResult,
    layout: ContinuousLayout,
    regions: Sequence[Region],
) -> Tensor:
    """The codes of regions of a take, bool ``[row, column, level]``.

    Args:
        model: the model.
        take: the take.
        layout: where it lies on its code map.
        regions: the regions.

    Raises:
        ValueError: if there is no region, or one lies outside of the take or does not fit the
            model.
    """
    if not regions:
        raise ValueError("there is no region to edit")
    mask = torch.zeros(model.grid[0], layout.columns, model.num_quantizers, dtype=torch.bool)
    for region in regions:
        if region.end > take.duration + 1e-6:
            raise ValueError(
                f"a region must lie within the {take.duration:g} s of the take, not end at "
                f"{region.end:g} s"
            )
        start, end = (
            second * take.sample_rate / layout.column_samples + layout.trim_start / STRIDE
            for second in (region.start, region.end)
        )
        columns = torch.zeros(layout.columns, dtype=torch.bool)
        columns[math.floor(start + 1e-6) : math.ceil(end - 1e-6)] = True
        columns &= ~_kept_columns(model, take, layout, region)
        rows = torch.zeros(model.grid[0], dtype=torch.bool)
        rows[_rows(model, region)] = True
        levels = torch.zeros(model.num_quantizers, dtype=torch.bool)
        chosen = range(model.num_quantizers) if region.levels is None else region.levels
        if max(chosen) >= len(levels):
            raise ValueError(f"the model has levels 0 to {len(levels) - 1}, not {max(chosen)}")
        levels[list(chosen)] = True
        mask |= rows[:, None, None] & columns[:, None] & levels
    if not mask.any():
        raise ValueError("everything in the regions is kept; keep less of it")
    return mask


def _rows(model: PriorModel, region: Region) -> slice:
    if region.band is None:
        return slice(None)
    bands = [model.spectrogram.band_at(hertz) / STRIDE for hertz in region.band]
    low, high = max(0, math.floor(bands[0])), min(model.grid[0], math.ceil(bands[1]))
    if low >= high:
        raise ValueError(f"the model has no frequencies within {region.band} Hz")
    return slice(low, high)


def _kept_columns(
    model: PriorModel, take: GenerationResult, layout: ContinuousLayout, region: Region
) -> Tensor:
    """Columns of the map that a region keeps, bool ``[column]``."""
    kept = torch.zeros(layout.columns, dtype=torch.bool)
    if region.keep is None:
        return kept
    kind, amount = region.keep
    if kind == "periodic":
        kept[:: int(amount)] = True
        return kept
    hop = model.spectrogram.hop_length
    after = amount / 1000 * model.sample_rate
    missing = max(0, model.spectrogram.n_fft // 2 + 1 - len(take.audio))
    audio = torch.from_numpy(np.pad(take.audio, (0, missing)))
    for onset in find_onsets(model.spectrogram.log_mel(audio).expm1().double()):
        ends = (onset * hop, onset * hop + after)
        first, last = (
            math.floor(end / layout.column_samples + layout.trim_start / STRIDE) for end in ends
        )
        kept[first : last + 1] = True
    return kept
