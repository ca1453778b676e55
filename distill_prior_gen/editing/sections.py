"""Changing the codes of a take, and its sound where they have changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import Progress
from distill_prior_gen.editing.code_maps import check_codes, map_start
from distill_prior_gen.editing.levels import match_levels, match_margins
from distill_prior_gen.editing.splicing import splice
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, vocoders
from distill_prior_gen.result import Edit, GenerationResult
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.layout import map_layout
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.vocoding import Inversion, Vocoder

MARGIN_FRAMES = 32
"""Frames on both sides of what changes that are rendered with it."""

MAX_GAP = 4
"""Columns between two that change which are rendered with them."""


def changed_spans(
    layout: ContinuousLayout, old: Tensor, new: Tensor
) -> tuple[tuple[int, int], ...]:
    """Spans of samples in which the codes of a map are heard that differ from the old ones.

    Args:
        layout: where the take lies on the map.
        old, new: codes, int64 ``[row, column, level]``.
    """
    changed = (old != new).any(dim=2).any(dim=0)
    runs = _runs(changed.nonzero().flatten().tolist())
    if layout.loop and len(runs) > 1 and runs[0][0] + layout.columns - runs[-1][1] <= MAX_GAP:
        runs = [*runs[1:-1], (runs[-1][0] - layout.columns, runs[0][1])]
    trimmed = layout.trim_start / STRIDE

    def sample(column: int) -> int:
        return round((column - trimmed) * layout.column_samples)

    # The frames of a column depend on the next column, too.
    return tuple((sample(first - 1), sample(last + 1)) for first, last in runs)


def apply_edit(
    model: PriorModel, take: GenerationResult, edit: Edit, progress: Progress
) -> GenerationResult:
    """A take after an edit: with its codes, and their sound in its spans.

    Samples change in the spans, and within half a window of the spectrogram around them. If the new
    sound would clip, all samples are scaled, see `GenerationResult.gain`.

    Args:
        model: the model.
        take: the take before the edit.
        edit: the change.
        progress: called while the waveform is reconstructed.

    Raises:
        ValueError: if it is not an edit of this take.
    """
    layout, codes = _layout_after(model, take, edit), edit.codes.flatten(0, 1)[None]
    sound = take.audio
    if edit.sound is not None:
        silence = edit.samples - len(sound) - len(edit.sound)
        if silence < 0:
            raise ValueError("the sound after a gap is longer than the take")
        sound = np.concatenate([sound, np.zeros(silence, np.float32), edit.sound])
    audio = torch.from_numpy(sound[: edit.samples]) / edit.gain
    if len(audio) < edit.samples:
        raise ValueError(f"an edit ({edit.operation}) is not one of this take")
    vocoder = get_registered("vocoder", edit.config.vocoder, vocoders())
    assert edit.config.seed is not None
    generator = random_generator(edit.config.seed, Purpose.PHASE)
    with take_state(model.device):
        mel = layout.decode(model, codes)
        inversion = Inversion(
            mel,
            model.spectrogram,
            generator,
            edit.config.quality,
            progress,
            layout.conditioning(model, codes) if vocoder.conditioned else None,
        )
        for start, end in edit.spans:
            audio = _replace(audio, inversion, vocoder, layout, edit, start, end)
    gain = min(edit.gain, 1 / max(float(audio.abs().max()), 1.0))
    return replace(
        take,
        audio=(audio * gain).clamp(-1, 1).numpy(),
        codes=codes,
        mel=mel.cpu(),
        layout=layout,
        gain=gain,
        edits=(*take.edits, edit),
        unedited_codes=take.first_codes,
    )


def _layout_after(model: PriorModel, take: GenerationResult, edit: Edit) -> ContinuousLayout:
    """The layout of a take after an edit."""
    check_codes(model, edit.codes)
    layout, columns = take.layout, edit.codes.shape[1]
    if isinstance(layout, ContinuousLayout) and layout.loop:
        if (columns, edit.samples) != (layout.columns, layout.samples):
            raise ValueError(f"an edit ({edit.operation}) is not one of this loop")
        return replace(layout, chunk_starts=(0,), chunk_ends=(columns,))
    after = map_layout(model, columns, edit.samples, map_start(take))
    if after.trim_start + after.frames > columns * STRIDE:
        raise ValueError(f"an edit ({edit.operation}) has too few codes for its samples")
    return after


def _replace(
    audio: Tensor,
    inversion: Inversion,
    vocoder: Vocoder,
    layout: ContinuousLayout,
    edit: Edit,
    start: int,
    end: int,
) -> Tensor:
    """Samples from `start` to before `end` replaced by the sound of a mel.

    Args:
        audio: float32 ``[samples]``.
        inversion: the mel of the whole take.
        vocoder: the method that makes sound of it.
        layout: where the take lies in it. In a loop, samples may lie beyond its ends.
        edit: the change.
        start, end: the samples.
    """
    spectrogram, samples = inversion.spectrogram, len(audio)
    hop, total = spectrogram.hop_length, inversion.mel.shape[1]
    if layout.loop and end - start + 2 * MARGIN_FRAMES * hop >= samples:
        overlap = edit.config.overlap_samples(spectrogram.sample_rate)
        return inversion.invert_loop(vocoder, samples, overlap).cpu()
    begin, stop = math.floor(start / hop) - MARGIN_FRAMES, math.ceil(end / hop) + MARGIN_FRAMES
    if not layout.loop:
        start, end = max(0, start), min(end, samples)
        begin, stop = max(0, begin), min(stop, total - 1)
    if end <= start or stop - begin < 2:
        return audio
    frames = torch.arange(begin, stop + 1)
    # The frames of a loop are spread evenly over its samples.
    source = (frames * (hop * STRIDE / layout.column_samples)).round().long() % total
    new = inversion.at(source).invert(vocoder).cpu()
    places = torch.arange(begin * hop, begin * hop + len(new))
    places = places % samples if layout.loop else places[places < samples]
    old = audio[places]
    new, start, end = new[: len(old)], start - begin * hop, min(end - begin * hop, len(old))
    if edit.levels is None:
        new = match_margins(new, old, start, end)
    else:
        map_start = -layout.trim_start * hop - begin * hop
        new = match_levels(new, np.array(edit.levels), map_start, layout.column_samples)
    spliced = splice(old, new, start, end, spectrogram)
    return audio.index_copy(0, places, spliced)


def _runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of columns, where short gaps do not end a run."""
    runs: list[tuple[int, int]] = []
    for column in columns:
        if runs and column - runs[-1][1] <= MAX_GAP:
            runs[-1] = runs[-1][0], column
        else:
            runs.append((column, column))
    return runs
