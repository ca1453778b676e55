"""Mixing the channels of a recording to one, without losing sound that cancels in their mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distill_prior_gen.audio.decoding import RecordingError, SoundSource

BLOCKS_PER_SECOND = 50
"""Number of blocks per second whose levels are measured."""

GROUP_BLOCKS = 5
"""Number of blocks, a tenth of a second, in which offsets and cancellation are measured."""

MIN_OFFSET = 0.05
"""Smallest DC offset that is removed, relative to the RMS level of a channel."""

AUDIBLE_ENERGY = 1e-6
"""Energy, relative to the loudest place, above which cancellation of channels matters."""

CANCELLED_ENERGY = 0.1
"""Channels cancel where the energy of their mix is below this fraction of the energy that the mix
of unrelated channels would have."""

MAX_CANCELLED = 0.1
"""Fraction of the audible places where channels may cancel in a mix."""


@dataclass(frozen=True, eq=False)
class Survey:
    """Measurements of a recording before it is mixed.

    Attributes:
        frames: number of frames of the recording.
        block: number of frames of a block.
        weights: weights of the channels in the mix, float32 ``[channel]``.
        offset: DC offset of the mix.
        levels: RMS of the mix in each block, without its offset, ``[block]``.
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
    block = source.rate // BLOCKS_PER_SECOND
    count, means, products = 0, [], []
    for samples in source.blocks(BLOCKS_PER_SECOND * block):
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
    weights = _weights(_group_means(product + rest[:, :, None] * rest[:, None, :]))
    energies = np.einsum("i,bij,j->b", weights, product, weights)
    return Survey(
        frames=count,
        block=block,
        weights=weights.astype(np.float32),
        offset=np.float32(weights @ offsets),
        levels=np.sqrt(np.maximum(energies, 0)),
    )


def mix(source: SoundSource, measured: Survey) -> Iterator[np.ndarray]:
    """Mix a recording to mono. Yields one second at a time, float32 ``[frame]``."""
    left = measured.frames
    for samples in source.blocks(BLOCKS_PER_SECOND * measured.block):
        yield samples[:left] @ measured.weights - measured.offset
        left -= len(samples)
        if left <= 0:
            return


def _group_means(values: np.ndarray) -> np.ndarray:
    """Means of `GROUP_BLOCKS` blocks each, or the blocks themselves if there are fewer."""
    groups = len(values) // GROUP_BLOCKS
    if not groups:
        return values
    return (
        values[: groups * GROUP_BLOCKS]
        .reshape(groups, GROUP_BLOCKS, *values.shape[1:])
        .mean(axis=1)
    )


def _offsets(means: np.ndarray, products: np.ndarray) -> np.ndarray:
    """DC offsets of the channels ``[channel]``: the medians of their means.

    In less than a tenth of a second, an offset cannot be distinguished from a low note.
    """
    if len(means) < GROUP_BLOCKS:
        return np.zeros(means.shape[1])
    offsets = np.median(_group_means(means), axis=0)
    energies = products.diagonal(axis1=1, axis2=2) + (means - offsets) ** 2
    return np.where(np.abs(offsets) > MIN_OFFSET * np.sqrt(energies.mean(axis=0)), offsets, 0.0)


def _weights(products: np.ndarray) -> np.ndarray:
    """Weights ``[channel]`` with which the channels do not cancel.

    The first choice is the mean of the channels. If channels cancel in it, those that oppose the
    others are inverted, as after a miswired cable. If channels still cancel somewhere, the loudest
    channel is used alone.

    Args:
        products: mean products of all pairs of channels, ``[place, channel, channel]``.
    """
    channels = products.shape[1]
    energies = products.diagonal(axis1=1, axis2=2).mean(axis=1)
    total = products.sum(axis=0)
    signs = np.ones(channels)
    for channel in range(1, channels):
        if signs[:channel] @ total[:channel, channel] < 0:
            signs[channel] = -1
    audible = energies >= AUDIBLE_ENERGY * energies.max()
    for weights in (np.ones(channels) / channels, signs / channels):
        mixed = np.einsum("i,bij,j->b", weights, products, weights)
        cancelled = mixed < CANCELLED_ENERGY * energies / channels
        if cancelled[audible].mean() <= MAX_CANCELLED:
            return weights
    return np.eye(channels)[total.diagonal().argmax()]
