"""Where the chunks of a take lie in time."""

from __future__ import annotations

import math

from distill_prior_gen.audio.joining import pieces_needed
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.crossfaded_layout import (
    CrossfadedLayout,
    CrossfadedMels,
    CrossfadedWaveforms,
)
from distill_prior_gen.sampling.prompt import Prompt

Layout = ContinuousLayout | CrossfadedLayout
"""Both have the same methods: which columns chunks share, how codes become a mel, and a mel a
waveform."""


def plan_layout(
    model: PriorModel,
    config: GenerationConfig,
    continues: bool,
    prompt: Prompt | None = None,
    whole: bool = False,
) -> Layout:
    """Lay out a take with the fewest chunks that cover it.

    Args:
        model: it determines the length of a chunk.
        config: the settings of the take.
        continues: whether each chunk is conditioned on the end of the one before.
        prompt: the recording that the take starts from.
        whole: whether the take is a single chunk.

    Raises:
        ValueError: if a loop is shorter than a chunk.
    """
    samples = round(config.duration * model.sample_rate)
    if prompt and config.vary is not None:
        return _plan_variation(model, prompt)
    trim_start = prompt.unheard(model) // model.spectrogram.hop_length if prompt else 0
    if whole:
        return _plan_whole(model, config, samples, trim_start)
    if not continues:
        return _plan_crossfaded(model, config, samples, trim_start)
    if config.loop:
        return _plan_loop(model, config, samples, keep_beginning=prompt is not None)
    return _plan_chain(model, config, samples, trim_start)


def _plan_variation(model: PriorModel, prompt: Prompt) -> ContinuousLayout:
    """A single chunk as long as the prompt."""
    columns, hop = model.grid[1], model.spectrogram.hop_length
    frames = min(model.spectrogram.frames_to_cover(len(prompt.samples)), model.frames)
    return ContinuousLayout(
        samples=min(len(prompt.samples), (frames - 1) * hop),
        columns=columns,
        chunk_starts=(0,),
        chunk_ends=(columns,),
        valid_columns=columns,
        trim_start=0,
        frames=frames,
        column_samples=STRIDE * hop,
    )


def _plan_crossfaded(
    model: PriorModel, config: GenerationConfig, samples: int, trim_start: int
) -> CrossfadedLayout:
    hop, length = model.spectrogram.hop_length, model.valid_frames
    if config.join == "crossfade":
        kind: type[CrossfadedLayout] = CrossfadedWaveforms
        unit, length, total = 1, (length - 1) * hop, samples
        trim_start *= hop
    else:
        kind, unit = CrossfadedMels, hop
        total = round(samples / hop) if config.loop else model.spectrogram.frames_to_cover(samples)
    overlap = min(round(config.overlap / 1000 * model.sample_rate / unit), length // 2)
    if config.loop:
        total += overlap
    return kind(samples, unit, length, overlap, trim_start, total, STRIDE * hop)


def _plan_whole(
    model: PriorModel, config: GenerationConfig, samples: int, trim_start: int
) -> ContinuousLayout:
    """A single chunk of as many columns as the take has.

    The frames of a column depend on the next one, so one more column is drawn. For a loop, several
    more are drawn; they fade into the beginning.
    """
    if config.loop:
        columns = _loop_columns(model, samples)
        return ContinuousLayout(
            samples=samples,
            columns=columns,
            chunk_starts=(0,),
            chunk_ends=(columns + max(1, model.valid_columns // 2),),
            valid_columns=columns,
            trim_start=0,
            frames=columns * STRIDE,
            column_samples=samples / columns,
            loop=True,
        )
    return map_layout(model, columns_to_cover(model, samples, trim_start), samples, trim_start)


def columns_to_cover(model: PriorModel, samples: int, trim_start: int = 0) -> int:
    """Columns of the code map of a take, with the one that the sound of the last depends on.

    Args:
        model: the model.
        samples: length of the take.
        trim_start: frames of the map before its first sample.
    """
    frames = model.spectrogram.frames_to_cover(samples)
    return math.ceil((trim_start + frames) / STRIDE) + 1


def map_layout(
    model: PriorModel, columns: int, samples: int, trim_start: int = 0
) -> ContinuousLayout:
    """The layout of a take that is a single chunk.

    Args:
        model: the model.
        columns: width of its code map.
        samples: length of the take.
        trim_start: frames of the map before its first sample.
    """
    return ContinuousLayout(
        samples=samples,
        columns=columns,
        chunk_starts=(0,),
        chunk_ends=(columns,),
        valid_columns=columns,
        trim_start=trim_start,
        frames=model.spectrogram.frames_to_cover(samples),
        column_samples=STRIDE * model.spectrogram.hop_length,
    )


def _loop_columns(model: PriorModel, samples: int) -> int:
    """Number of columns of a loop.

    Raises:
        ValueError: if it is shorter than a chunk.
    """
    column, shortest = STRIDE * model.spectrogram.hop_length, max(model.valid_columns, 2)
    columns = round(samples / column)
    if columns < shortest:
        raise ValueError(
            f"a loop of {model.name} must last {shortest * column / model.sample_rate:.2f} s at "
            "least; make it longer, or use the sampler 'independent'"
        )
    return columns


def _plan_chain(
    model: PriorModel, config: GenerationConfig, samples: int, trim_start: int
) -> ContinuousLayout:
    """Chunks that begin with the last columns of the one before."""
    width, valid = model.grid[1], model.valid_columns
    step = valid - min(config.context_columns, valid - 1)
    frames = model.spectrogram.frames_to_cover(samples)
    overlap = max(0, model.valid_frames - step * STRIDE)
    chunks = pieces_needed(trim_start + frames, model.valid_frames, overlap)
    starts = [chunk * step for chunk in range(chunks)]
    ends = [start + valid for start in starts[:-1]] + [starts[-1] + width]
    return ContinuousLayout(
        samples=samples,
        columns=ends[-1],
        chunk_starts=tuple(starts),
        chunk_ends=tuple(ends),
        valid_columns=valid,
        trim_start=trim_start,
        frames=frames,
        column_samples=STRIDE * model.spectrogram.hop_length,
    )


def _plan_loop(
    model: PriorModel, config: GenerationConfig, samples: int, keep_beginning: bool
) -> ContinuousLayout:
    """A chain whose final chunk is conditioned at both ends.

    The loop has a whole number of columns, which are stretched to the length of the take. A loop
    of 10 columns with chunks of 5 valid columns and 1 context column looks like this, where a
    letter is a column that a chunk draws and a letter in brackets one that it is given::

        column      0   1   2   3   4   5   6   7   8   9
        chunk 0     a   a   a   a   a
        chunk 1                    [a]  b   b   b   b
        chunk 2     c                              [b]  c
        chunk 3    [c]  d   d   d  [a]
        take        c   d   d   d   a   b   b   b   b   c

    Chunk 0 was drawn without context. Therefore all of it but the context of chunk 1 is drawn
    again, by chunks that are conditioned on the end of the loop.
    """
    valid, columns = model.valid_columns, _loop_columns(model, samples)
    context = min(config.context_columns, (valid - 1) // 2)
    step = valid - context
    loop_overlap = 0 if keep_beginning else step
    final = columns + loop_overlap - step
    starts = [*range(0, final, step), final]
    ends = [min(start + valid, final + context) for start in starts[:-1]]
    return ContinuousLayout(
        samples=samples,
        columns=columns,
        chunk_starts=tuple(starts),
        chunk_ends=(*ends, columns + loop_overlap),
        valid_columns=valid,
        trim_start=0,
        frames=columns * STRIDE,
        column_samples=samples / columns,
        loop=True,
    )
