"""Codes without end, of which only the last columns are kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, no_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.sampling.chunks import (
    UNKNOWN,
    Chunk,
    CodeColumn,
    Sampler,
    Settings,
    temperatures,
)
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.takes import draw_chunks, draw_in_order
from distill_prior_gen.sampling.timeline import TIMELINE, timeline_columns

GROUP = 8
"""Chunks that are drawn together, each a row behind the one before."""


def endless_columns(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    beginning: Tensor,
    settings: Settings,
) -> Iterator[Tensor]:
    """Columns of a code map without end.

    They are those of a take with the same settings and seed, as long as it lasts and the settings
    stay the same.

    Args:
        sampler: the method with the name ``config.sampler``.
        model: the model.
        config: settings with a seed and the name of a sampler.
        beginning: columns that are given, int64 ``[H, column, level]``.
        settings: called with the number of a column that is drawn next; how it is drawn, and all
            that are drawn together with it.

    Yields:
        int64 ``[H, column, level]``, any number of columns.

    Raises:
        ValueError: if the sampler cannot go on without end.
    """
    if config.sampler == TIMELINE:
        return timeline_columns(model, config, beginning, settings)
    if not can_go_on(config.sampler, sampler):
        raise ValueError(
            f"the sampler {config.sampler!r} cannot go on without end; use 'timeline' or 'continue'"
        )
    return _chain_columns(sampler, model, config, beginning, settings)


def can_go_on(name: str, sampler: Sampler | None) -> bool:
    """Whether the sampler with a name can go on without end."""
    return name == TIMELINE or bool(sampler and sampler.continues and not sampler.whole)


def _chain_columns(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    beginning: Tensor,
    settings: Settings,
) -> Iterator[Tensor]:
    """The columns of chunks that continue each other; same arguments."""
    seed = config.seed
    assert seed is not None
    (height, width), levels, valid = model.grid, model.num_quantizers, model.valid_columns
    context = min(config.context_columns, valid - 1)
    step = valid - context
    known, heard = beginning, 0  # what the next chunk begins with, and how much of it was given out
    for first in itertools.count(0, GROUP):
        config = settings(first * step)
        temperature = temperatures(config, levels, 0.0)
        chunks = []
        for number in range(GROUP):
            fixed = torch.full((height, width, levels), UNKNOWN)
            shared = {}
            if number == 0:
                fixed[:, : known.shape[1]] = known
            else:
                shared = {n: CodeColumn(number - 1, step + n) for n in range(context)}
            generator = random_generator(seed, Purpose.CODES, first + number)
            chunks.append(Chunk(generator, fixed.flatten(0, 1), temperature, shared))
        if sampler.at_once:
            codes = draw_chunks(sampler, model, config, chunks, no_progress)
        else:
            codes = draw_in_order(sampler, model, config, chunks, GROUP, no_progress)
        for chunk in codes.unflatten(1, (height, width)):
            yield chunk[:, heard:valid]
            heard = context
        known = chunk[:, step:valid]
