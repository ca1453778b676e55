"""Changing parts of a take: its codes, and the sound that they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_prior_gen.config import (
    Edit,
    GenerationConfig,
    Progress,
    Region,
    no_progress,
    partial_progress,
)
from distill_prior_gen.editing.redrawing import redraw_codes
from distill_prior_gen.editing.splicing import splice
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, vocoders
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.random_streams import Purpose, new_seed, random_generator
from distill_prior_gen.sampling.timeline import check_steering, choose_sampler
from distill_prior_gen.stopwatch import Stopwatch
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.vocoding import Inversion

MARGIN_FRAMES = 32
"""Frames on both sides of what changes that are rendered with it."""

DRAWING_SHARE = 0.7
"""Fraction of the progress bar that belongs to drawing codes."""


def redraw(
    model: PriorModel,
    take: GenerationResult,
    regions: Sequence[Region],
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """Draw regions of a take again; everything else stays.

    The new codes fit those before and after them, see `redraw_codes`. Samples change where the new
    codes are heard, and within half a window of the spectrogram around it. If the new sound would
    clip, all samples are scaled, see `GenerationResult.gain`.

    Args:
        model: the model that made the take.
        take: result of `generate`, or of this function.
        regions: the regions.
        config: sampler, temperature, seed and so on of what is drawn; None for those of the take
            with a new seed. Settings of the whole take, such as `duration`, do not count.
        progress: called with the fraction that is done and a description of the current work.

    Returns:
        The take with an additional entry in `edits`.

    Raises:
        ValueError: if there is no region, or one lies outside of the take or does not fit the
            model; if the take is a loop, or of independent chunks.
        FloatingPointError: if the prior's logits are not finite.
    """
    report, layout = progress or no_progress, take.layout
    if not isinstance(layout, ContinuousLayout):
        raise ValueError(
            "a take of independent chunks cannot be redrawn; make it with another sampler"
        )
    if layout.loop:
        raise ValueError("a loop cannot be redrawn; make the take without 'loop'")
    config = _drawing_settings(model, config or replace(take.config, seed=None))
    old = layout.code_map(take.codes.unflatten(1, (model.grid[0], -1)))
    mask = find_codes(model, layout, regions)
    stopwatch = Stopwatch(model.device)
    with stopwatch("sample"):
        drawing = partial_progress(report, 0.0, DRAWING_SHARE)
        codes = redraw_codes(model, old, mask, config, drawing)
    changed = replace(
        take,
        codes=codes.flatten(0, 1)[None],
        layout=replace(layout, chunk_starts=(0,), chunk_ends=(layout.columns,)),
        edits=(*take.edits, Edit(tuple(regions), config)),
    )
    with take_state(model.device), stopwatch("invert"):
        rendering = partial_progress(report, DRAWING_SHARE, 1.0)
        rendered = _render(model, changed, codes != old, rendering)
    return replace(rendered, timings=stopwatch.seconds)


def _drawing_settings(model: PriorModel, config: GenerationConfig) -> GenerationConfig:
    """Settings with a seed and a sampler, without those that only a whole take can have."""
    settings = replace(
        config,
        seed=new_seed() if config.seed is None else config.seed,
        sampler=choose_sampler(model, config.sampler),
        prompt=None,
        prompt_crossfade=False,
        vary=None,
        loop=False,
        like=None,
    )
    check_steering(model, settings)
    return settings


def find_codes(model: PriorModel, layout: ContinuousLayout, regions: Sequence[Region]) -> Tensor:
    """The codes of regions of a take, bool ``[row, column, level]``.

    Raises:
        ValueError: if there is no region, or one lies outside of the take or does not fit the
            model.
    """
    if not regions:
        raise ValueError("there is no region to redraw")
    rows, levels, rate = model.grid[0], model.num_quantizers, model.sample_rate
    mask = torch.zeros(rows, layout.columns, levels, dtype=torch.bool)
    duration = layout.samples / rate
    for region in regions:
        if region.end > duration + 1e-6:
            raise ValueError(
                f"a region must lie within the {duration:g} s of the take, not end at "
                f"{region.end:g} s"
            )
        start, end = (
            second * rate / layout.column_samples + layout.trim_start / STRIDE
            for second in (region.start, region.end)
        )
        low, high = 0, rows
        if region.band:
            bands = [model.spectrogram.band_at(hertz) / STRIDE for hertz in region.band]
            low, high = max(0, math.floor(bands[0])), min(rows, math.ceil(bands[1]))
            if low >= high:
                raise ValueError(f"the model has no frequencies within {region.band} Hz")
        chosen = range(levels) if region.levels is None else region.levels
        if max(chosen) >= levels:
            raise ValueError(f"the model has levels 0 to {levels - 1}, not {max(chosen)}")
        mask[low:high, math.floor(start + 1e-6) : math.ceil(end - 1e-6), list(chosen)] = True
    return mask


def _render(
    model: PriorModel, take: GenerationResult, changed: Tensor, progress: Progress
) -> GenerationResult:
    """A take with the sound of its codes where they have changed.

    Args:
        model: the model.
        take: the take, with new codes and the old sound.
        changed: codes that have changed, bool ``[row, column, level]``.
        progress: called while the waveform is reconstructed.
    """
    layout = take.layout
    assert isinstance(layout, ContinuousLayout)
    mel = layout.decode(model, take.codes)
    audio = torch.from_numpy(take.audio) / take.gain
    vocoder = get_registered("vocoder", take.config.vocoder, vocoders())
    conditioning = layout.conditioning(model, take.codes) if vocoder.conditioned else None
    seed = take.edits[-1].config.seed
    assert seed is not None
    generator = random_generator(seed, Purpose.PHASE)
    inversion = Inversion(
        mel, model.spectrogram, generator, take.config.quality, progress, conditioning
    )
    hop = model.spectrogram.hop_length
    columns = changed.any(dim=2).any(dim=0).nonzero().flatten().tolist()
    for first, last in _runs(columns):
        # The frames of a column depend on the next column, too.
        start, end = (STRIDE * c - layout.trim_start for c in (first - 1, last + 1))
        begin, stop = max(0, start - MARGIN_FRAMES), min(mel.shape[1], end + MARGIN_FRAMES)
        if stop - begin < 2:
            continue
        new = inversion.at(torch.arange(begin, stop)).invert(vocoder).cpu()
        section = slice(begin * hop, min(begin * hop + len(new), len(audio)))
        new = new[: section.stop - section.start]
        borders = max(0, start * hop - section.start), min(end * hop - section.start, len(new))
        audio[section] = splice(audio[section], new, *borders, model.spectrogram)
    peak = max(1.0, float(audio.abs().max()))
    return replace(take, audio=(audio / peak).numpy(), mel=mel.cpu(), gain=1 / peak)


def _runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of columns, where gaps of up to four do not end a run."""
    runs: list[tuple[int, int]] = []
    for column in columns:
        if runs and column - runs[-1][1] <= 4:
            runs[-1] = runs[-1][0], column
        else:
            runs.append((column, column))
    return runs
