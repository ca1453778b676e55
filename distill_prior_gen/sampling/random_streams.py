"""Random numbers that depend on nothing but a seed, a purpose and a chunk's number.

Every chunk of a take has its own generators, so that the batch in which it is drawn and the
length of the take do not change its codes. See the section on parallel random number generation
in NumPy's manual for ``spawn_key``.
"""

from __future__ import annotations

import secrets
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are used for. The values are part of what a seed means."""

    CODES = 0
    """Codes of a chunk."""

    PHASE = 1
    """Initial phase of the waveform of a take, or of a chunk that is inverted by itself."""

    VARIATION = 2
    """Which codes of a prompt are drawn again."""

    CHOICE = 3
    """Which of several candidates is kept."""

    WIDTH = 4
    """Initial phase of the difference of the channels of a stereo take."""


def new_seed() -> int:
    """A random seed that is short enough to read out and type."""
    return secrets.randbelow(2**31)


def random_generator(seed: int, purpose: Purpose, chunk: int = 0) -> np.random.Generator:
    """The random generator of a take's chunk for one purpose."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, chunk)))
