"""Independent random streams, none of them global.

A stream belongs to a seed, a purpose and a chunk, and to nothing else: not to
the batch, the duration or the order of the work. The seed is the entropy of a
``numpy.random.SeedSequence`` and the rest its spawn key, so that neighbouring
seeds and chunks have unrelated streams.
"""

from __future__ import annotations

import secrets

import numpy as np

CODES, PHASE, VARIATION = 0, 1, 2


def new_seed() -> int:
    """A seed that is short enough to read out and type."""
    return secrets.randbelow(2**31)


def stream(seed: int, purpose: int, chunk: int = 0) -> np.random.Generator:
    """The random generator of a chunk's `CODES`, or of the `PHASE` of a chunk or a whole take.

    Or of the `VARIATION` of a prompt: which of its codes are drawn anew.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, chunk)))
