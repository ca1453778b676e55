"""The channels of a recording mixed to one, without losing what cancels in their mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distill_prior_gen.audio.decoding import RecordingError, SoundSource

BLOCKS_A_SECOND = 50
"""Blocks whose levels are measured."""

TOGETHER = 5
"""Blocks that offsets and cancellation are measured in, a tenth of a second."""

OFFSET = 0.05
"""Smallest DC offset that is removed, relative to the RMS level of a channel."""

AUDIBLE = 1e-6
"""Energy, relative to the loudest place, below which it does not matter whether channels cancel."""

CANCELLED = 0.1
"""Channels cancel where their mix has less than this share of the energy that it would have if
they had nothing to do with each other."""

MAX_CANCELLED = 0.1
"""Share of the audible places where channels may cancel in a mix."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What is measured in a recording before it is mixed.

    Attributes:
        frames: how many there are.
        block: frames of a block.
        weights: of the channels in the mix, float32 ``[channel]``.
        offset: DC offset of the mix.
        levels: RMS of the mix in each block, without any offset, ``[block]``.
    """

    frames: int
    block: int
    weights: np.ndarray
    offset: np.float32
    levels: np.ndarray


def survey(source: SoundSource, frames: int | None = None) -> Survey:
    """Measure a recording, or its first `frames` frames.

    Raises:
        RecordingError: if it is empty, or has samples that are not finite.
    """
    block = source.rate // BLOCKS_A_SECOND
    count, means, products = 0, [], []
    for samples in source.blocks(BLOCKS_A_SECOND * block):
        if not np.isfinite(samples).all():
            raise RecordingError(source.path, "has samples that are not finite; export it again")
        samples = samples[: None if frames is None else frames - count].astype(np.float64)
        count += len(samples)
        whole = len(samples) // block * block
        for part in (samples[:whole].reshape(-1, block, samples.shape[1]), samples[None, whole:]):
            if part.size:
                mean = part.mean(axis=1, keepdims=True)
                centred = part - mean
                means.append(mean[:, 0])
                products.append(centred.transpose(0, 2, 1) @ centred / part.shape[1])
        if frames is not None and count >= frames:
            break
    if not count:
        raise RecordingError(source.path, "is empty")
    mean, product = np.concatenate(means), np.concatenate(products)
    offsets = _offsets(mean, product)
    rest = mean - offsets
    weights = _weights(_together(product + rest[:, :, None] * rest[:, None, :]))
    energies = np.einsum("i,bij,j->b", weights, product, weights)
    return Survey(
        frames=count,
        block=block,
        weights=weights.astype(np.float32),
        offset=np.float32(weights @ offsets),
        levels=np.sqrt(np.maximum(energies, 0)),
    )


def mix(source: SoundSource, measured: Survey) -> Iterator[np.ndarray]:
    """The mix of a recording, float32 ``[frame]``, a second at a time."""
    left = measured.frames
    for samples in source.blocks(BLOCKS_A_SECOND * measured.block):
        yield samples[:left] @ measured.weights - measured.offset
        left -= len(samples)
        if left <= 0:
            return


def _together(values: np.ndarray) -> np.ndarray:
    """Means of `TOGETHER` blocks each, or the blocks themselves if they are fewer."""
    groups = len(values) // TOGETHER
    if not groups:
        return values
    return values[: groups * TOGETHER].reshape(groups, TOGETHER, *values.shape[1:]).mean(axis=1)


def _offsets(means: np.ndarray, products: np.ndarray) -> np.ndarray:
    """DC offsets of the channels ``[channel]``: what their samples lie around nearly everywhere.

    In less than a tenth of a second an offset cannot be told from a low note.
    """
    if len(means) < TOGETHER:
        return np.zeros(means.shape[1])
    offsets = np.median(_together(means), axis=0)
    energies = products.diagonal(axis1=1, axis2=2) + (means - offsets) ** 2
    return np.where(np.abs(offsets) > OFFSET * np.sqrt(energies.mean(axis=0)), offsets, 0.0)


def _weights(products: np.ndarray) -> np.ndarray:
    """Weights ``[channel]`` with which the channels do not cancel.

    That is the mean of the channels, if it can be. Otherwise channels that oppose the others are
    turned over, as those of a miswired cable; if channels still cancel somewhere, the loudest
    channel is taken, which keeps what is in the middle and what is at the sides.

    Args:
        products: means of the products of any two channels, ``[place, channel, channel]``.
    """
    channels = products.shape[1]
    energies = products.diagonal(axis1=1, axis2=2).mean(axis=1)
    total = products.sum(axis=0)
    signs = np.ones(channels)
    for channel in range(1, channels):
        if signs[:channel] @ total[:channel, channel] < 0:
            signs[channel] = -1
    audible = energies >= AUDIBLE * energies.max()
    for weights in (np.ones(channels) / channels, signs / channels):
        mixed = np.einsum("i,bij,j->b", weights, products, weights)
        cancelled = mixed < CANCELLED * energies / channels
        if cancelled[audible].mean() <= MAX_CANCELLED:
            return weights
    return np.eye(channels)[total.diagonal().argmax()]
