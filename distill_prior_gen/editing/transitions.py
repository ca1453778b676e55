"""From one take to another: leading over, and blending."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.joining import FADE_IN_S, FADE_OUT_S
from distill_prior_gen.config import (
    GAP_LIMITS,
    GenerationConfig,
    Progress,
    no_progress,
    partial_progress,
)
from distill_prior_gen.editing.code_maps import codes_on_grid, map_start, round_sound
from distill_prior_gen.editing.levels import column_levels
from distill_prior_gen.editing.redrawing import redraw_codes
from distill_prior_gen.editing.sections import apply_edit, changed_spans
from distill_prior_gen.editing.takes import DRAWING_SHARE, edit_settings
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.result import Edit, GenerationResult
from distill_prior_gen.sampling.layout import columns_to_cover, map_layout
from distill_prior_gen.stopwatch import Stopwatch
from distill_prior_gen.validation import check_number


def fill(
    model: PriorModel,
    first: GenerationResult,
    second: GenerationResult,
    duration: float = 5.0,
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """One take, new sound that leads over, and another take.

    Both takes keep their samples, except for the last 10 ms of the first and the first 2 ms of the
    second, which may be faded.

    Args:
        model: the model.
        first, second: results of `generate`, `open_take` or an edit.
        duration: length of the new sound in seconds, from 0.1 to 30.
        config: sampler, temperature, vocoder, seed and so on of what is drawn; None for those of
            the first take with a new seed.
        progress: called with the fraction that is done and a description of the current work.

    Returns:
        The first take with an additional entry in `edits`.

    Raises:
        ValueError: if `duration` is out of range, one of the takes is a loop, or settings do not
            fit the model.
        FloatingPointError: if the prior's logits are not finite.
    """
    duration = check_number("duration", duration, *GAP_LIMITS)
    _refuse_loops(first, second)
    report, stopwatch = progress or no_progress, Stopwatch(model.device)
    settings = edit_settings(model, first, config)
    hop, gain = model.spectrogram.hop_length, max(first.gain, second.gain)
    column, start = STRIDE * hop, map_start(first) * hop
    sound = round_sound(second.audio)
    gap = len(first.audio), len(first.audio) + round(duration * model.sample_rate)
    samples = gap[1] + len(sound)
    columns = columns_to_cover(model, samples, map_start(first))
    before = codes_on_grid(model, first, start, gain)[:, : (start + gap[0]) // column]
    after = codes_on_grid(model, second, start + gap[1], gain)
    after = after[:, math.ceil((start + gap[1]) / column) : columns]
    codes = F.pad(before, (0, 0, 0, columns - before.shape[1]))
    codes[:, columns - after.shape[1] :] = after
    mask = torch.ones_like(codes, dtype=torch.bool)
    mask[:, : before.shape[1]] = mask[:, columns - after.shape[1] :] = False
    with stopwatch("sample"):
        drawing = partial_progress(report, 0.0, DRAWING_SHARE)
        codes = redraw_codes(model, codes, mask, settings, drawing)
    fades = [
        min(round(s * model.sample_rate), n)
        for s, n in ((FADE_OUT_S, len(first.audio)), (FADE_IN_S, len(sound)))
    ]
    span = gap[0] - fades[0], gap[1] + fades[1]
    edit = Edit("fill", {"duration": duration}, settings, codes, samples, gain, (span,), sound)
    with stopwatch("invert"):
        filled = apply_edit(model, first, edit, partial_progress(report, DRAWING_SHARE, 1.0))
    return replace(filled, timings=stopwatch.seconds)


def morph(
    model: PriorModel,
    first: GenerationResult,
    second: GenerationResult,
    amount: float | tuple[float, float] = 0.5,
    levels: Sequence[int] | None = None,
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """Blend the codes of two takes.

    At each position and level, the vectors of the codes are averaged, and the nearest code of the
    level is taken; what it lacks is added at the next level.

    Args:
        model: the model.
        first, second: results of `generate`, `open_take` or an edit. The result is as long as the
            shorter one.
        amount: 0 is the first take, 1 the second. Two values are a course from the beginning of
            the result to its end.
        levels: numbers of the levels that are blended, 0 for structure, 1 for timbre, 2 for
            detail; the others are those of the first take. None for all.
        config: vocoder, quality and seed; None for those of the first take with a new seed.
        progress: called with the fraction that is done and a description of the current work.

    Returns:
        The first take with an additional entry in `edits`. Where the codes are those of the first
        take, its samples stay.

    Raises:
        ValueError: if `amount` or `levels` are out of range, or one of the takes is a loop.
    """
    begin, end, chosen = _check_morph(model, amount, levels)
    _refuse_loops(first, second)
    stopwatch = Stopwatch(model.device)
    settings = edit_settings(model, first, config)
    samples, gain = min(len(first.audio), len(second.audio)), max(first.gain, second.gain)
    start, hop = map_start(first), model.spectrogram.hop_length
    frames = model.spectrogram.frames_to_cover(samples)
    columns = columns_to_cover(model, samples, start)
    codes = [codes_on_grid(model, take, start * hop, gain)[:, :columns] for take in (first, second)]
    columns = min(each.shape[1] for each in codes)
    old, new = (each[:, :columns] for each in codes)
    place = (torch.arange(columns) - start // STRIDE) / max(1, math.ceil(frames / STRIDE) - 1)
    share = begin + (end - begin) * place.clamp(0, 1)
    blended = blend_codes(model, old, new, share, chosen)
    layout = map_layout(model, columns, samples, start)
    asked = {"amount": [begin, end], "levels": None if levels is None else list(levels)}
    spans = changed_spans(layout, old, blended)
    heard = [
        column_levels(torch.from_numpy(take.audio) / gain, -start * hop, STRIDE * hop, columns)
        for take in (first, second)
    ]
    loud = (heard[0] + share.numpy() * (heard[1] - heard[0])).round(2).tolist()
    edit = Edit("morph", asked, settings, blended, samples, gain, spans, levels=tuple(loud))
    with stopwatch("invert"):
        morphed = apply_edit(model, first, edit, progress or no_progress)
    return replace(morphed, timings=stopwatch.seconds)


@torch.no_grad()
def blend_codes(
    model: PriorModel, first: Tensor, second: Tensor, share: Tensor, levels: Sequence[int]
) -> Tensor:
    """Blend two code maps.

    Args:
        model: the model.
        first, second: int64 ``[row, column, level]``.
        share: of the second map, from 0 to 1, float32 ``[column]``.
        levels: levels that are blended; the others are those of `first`.

    Returns:
        int64 ``[row, column, level]``.
    """
    codebooks = model.vqvae.quantizer.rvq.codebooks.cpu()  # [level, code, dimension]
    blended = first.clone()
    missing = torch.zeros(*first.shape[:2], codebooks.shape[2])
    share = share[:, None]
    for level in levels:
        a, b = (codebooks[level][codes[..., level]] for codes in (first, second))
        target = torch.lerp(a, b, share) + missing
        nearest = torch.cdist(target.flatten(0, 1), codebooks[level]).argmin(dim=1)
        code = nearest.view(first.shape[:2])
        code = code.where(share[:, 0] > 0, first[..., level])
        code = code.where(share[:, 0] < 1, second[..., level])
        inside = ((share > 0) & (share < 1)).float()
        missing = (target - codebooks[level][code]) * inside
        blended[..., level] = code
    return blended


def _check_morph(
    model: PriorModel, amount: float | tuple[float, float], levels: Sequence[int] | None
) -> tuple[float, float, Sequence[int]]:
    """First and last share of the second take, and the levels that are blended."""
    course = amount if isinstance(amount, tuple) else (amount, amount)
    begin, end = (check_number("amount", value, 0.0, 1.0) for value in course)
    chosen = range(model.num_quantizers) if levels is None else levels
    for level in chosen:
        check_number("levels", level, 0, model.num_quantizers - 1, True)
    return begin, end, chosen


def _refuse_loops(*takes: GenerationResult) -> None:
    if any(take.config.loop for take in takes):
        raise ValueError("a loop has no end; make the take without 'loop', or use its sound file")
