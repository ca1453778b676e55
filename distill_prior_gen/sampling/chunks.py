"""What is known of a chunk before its codes are drawn, and what draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel

FREE = -1
"""In `Chunk.held`: no code is held here, one is to be drawn."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """A chunk whose codes are to be drawn.

    Attributes:
        generator: of its random numbers.
        held: codes that it must have, int64 ``[H * W, level]``; `FREE` where it may have any.
        temperature: for each level.
        repeats: columns that are those of other chunks of the call, ``chunk * W + column``.
    """

    generator: np.random.Generator
    held: Tensor
    temperature: tuple[float, ...]
    repeats: dict[int, int] = field(default_factory=dict)


def repeat_columns(maps: Tensor, chunk: int, repeats: dict[int, int]) -> None:
    """Put in the columns that a chunk has from others, as far as they are drawn.

    Args:
        maps: code maps of all chunks, ``[chunk, H, W, level]``.
        chunk: whose columns are put in.
        repeats: see `Chunk`.
    """
    width = maps.shape[2]
    for column, source in repeats.items():
        maps[chunk, :, column] = maps[source // width, :, source % width]


DrawChunks = Callable[[PriorModel, GenerationConfig, Sequence[Chunk], Progress], Tensor]
"""Codes of chunks, int64 ``[chunk, H * W, level]``."""
