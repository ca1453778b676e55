"""Chunks whose codes are to be drawn, and the function that draws them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel

UNKNOWN = -1
"""Value in `Chunk.fixed` of a code that is to be drawn."""


class CodeColumn(NamedTuple):
    """A column of a chunk's code map, among all chunks of a call."""

    chunk: int
    column: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """A chunk whose codes are to be drawn.

    Attributes:
        generator: its random numbers.
        fixed: codes that are given, int64 ``[H * W, level]``; `UNKNOWN` where one is to be drawn.
            For a sampler that draws whole takes, W is the number of columns of the take.
        temperature: one value for each level; for whole takes that at the beginning.
        shared_columns: columns that equal those of other chunks of the call, from which they are
            copied.
    """

    generator: np.random.Generator
    fixed: Tensor
    temperature: tuple[float, ...]
    shared_columns: Mapping[int, CodeColumn] = field(default_factory=dict)


DrawChunks = Callable[[PriorModel, GenerationConfig, Sequence[Chunk], Progress], Tensor]
"""Function from a model, settings and chunks to codes, int64 ``[chunk, H * W, level]``."""


Settings = Callable[[int], GenerationConfig]
"""Function from a column to the settings of what begins there."""


@dataclass(frozen=True)
class Sampler:
    """A method to draw codes; see the hook `distill_register_prior_samplers`."""

    draw: DrawChunks
    continues: bool = False
    at_once: bool = False
    whole: bool = False


def temperatures(config: GenerationConfig, levels: int, share: float) -> tuple[float, ...]:
    """Temperature of each level at a fraction `share` of a take."""
    start = config.per_level("temperature", levels)
    if config.temperature_end is None:
        return start
    end = config.per_level("temperature_end", levels)
    return tuple(a + share * (b - a) for a, b in zip(start, end, strict=True))


def value_at(value: float | tuple[float, float] | None, share: float) -> float | None:
    """A setting that may move over a take, at a fraction `share` of it."""
    if isinstance(value, tuple):
        return value[0] + share * (value[1] - value[0])
    return value


def copy_shared_columns(maps: Tensor, chunk: int, shared: Mapping[int, CodeColumn]) -> None:
    """Copy the columns that a chunk shares with others, as far as these have been drawn.

    Args:
        maps: code maps of all chunks, ``[chunk, H, W, level]``, changed in place.
        chunk: the one that receives columns.
        shared: see `Chunk`.
    """
    for column, source in shared.items():
        maps[chunk, :, column] = maps[source.chunk, :, source.column]
