"""Changing parts of a take: its codes, and the sound that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from distill_prior_gen.config import (
    GenerationConfig,
    Progress,
    Region,
    no_progress,
    partial_progress,
)
from distill_prior_gen.editing.code_maps import code_map, codes_on_grid, map_start
from distill_prior_gen.editing.redrawing import redraw_codes
from distill_prior_gen.editing.regions import find_codes
from distill_prior_gen.editing.sections import apply_edit, changed_spans
from distill_prior_gen.methods import choose_methods
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.result import Edit, GenerationResult
from distill_prior_gen.sampling.timeline import check_steering
from distill_prior_gen.stopwatch import Stopwatch

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
        take: result of `generate`, `open_take` or an edit.
        regions: the regions.
        config: sampler, temperature, vocoder, seed and so on of what is drawn; None for those of
            the take with a new seed. Settings of the whole take, such as `duration`, do not count.
        progress: called with the fraction that is done and a description of the current work.

    Returns:
        The take with an additional entry in `edits`.

    Raises:
        ValueError: if there is no region, or one lies outside of the take or does not fit the
            model.
        FloatingPointError: if the prior's logits are not finite.
    """
    report, stopwatch = progress or no_progress, Stopwatch(model.device)
    settings = edit_settings(model, take, config)
    layout, old = code_map(model, take)
    mask = find_codes(model, take, layout, regions)
    with stopwatch("sample"):
        drawing = partial_progress(report, 0.0, DRAWING_SHARE)
        codes = redraw_codes(model, old, mask, settings, drawing, take.config.loop)
    spans = changed_spans(layout, old, codes)
    asked = {"regions": [asdict(region) for region in regions]}
    edit = Edit("redraw", asked, settings, codes, len(take.audio), take.gain, spans)
    with stopwatch("invert"):
        changed = apply_edit(model, take, edit, partial_progress(report, DRAWING_SHARE, 1.0))
    return replace(changed, timings=stopwatch.seconds)


def swap(
    model: PriorModel,
    take: GenerationResult,
    other: GenerationResult,
    regions: Sequence[Region],
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """Copy the codes of regions from another take.

    Args:
        model: the model that made both takes.
        take: the take that changes.
        other: the take that is copied from, at the same times. Where it is over, nothing is copied.
        regions: the regions.
        config: vocoder, quality and seed of the new sound; None for those of the take.
        progress: see `redraw`.

    Returns:
        The take with an additional entry in `edits`.

    Raises:
        ValueError: as `redraw`, or if the other take is over before all regions begin.
    """
    stopwatch = Stopwatch(model.device)
    settings = edit_settings(model, take, config)
    layout, old = code_map(model, take)
    start = map_start(take) * model.spectrogram.hop_length
    copied = codes_on_grid(model, other, start, take.gain)[:, : old.shape[1]]
    mask = find_codes(model, take, layout, regions)[:, : copied.shape[1]]
    if not mask.any():
        raise ValueError(f"the other take lasts {other.duration:g} s; choose an earlier span")
    codes = old.clone()
    codes[:, : copied.shape[1]][mask] = copied[mask]
    spans = changed_spans(layout, old, codes)
    asked = {"regions": [asdict(region) for region in regions]}
    edit = Edit("swap", asked, settings, codes, len(take.audio), take.gain, spans)
    with stopwatch("invert"):
        changed = apply_edit(model, take, edit, progress or no_progress)
    return replace(changed, timings=stopwatch.seconds)


def edit_settings(
    model: PriorModel, take: GenerationResult, config: GenerationConfig | None
) -> GenerationConfig:
    """Settings of an edit: with a seed, a sampler and a vocoder, and without those of whole takes.

    Args:
        model: the model.
        take: the take that is edited.
        config: settings that were asked for; None for those of the take with a new seed.

    Raises:
        ValueError: if there is no such sampler or vocoder, or they do not fit the model.
    """
    config = config or replace(take.config, seed=None)
    settings = replace(
        choose_methods(model, config),
        prompt=None,
        prompt_crossfade=False,
        vary=None,
        loop=False,
        like=None,
    )
    get_registered("sampler", settings.sampler, samplers())
    get_registered("vocoder", settings.vocoder, vocoders())
    check_steering(model, settings)
    return settings
