"""Recordings as columns of codes, and medleys of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import resample
from distill_prior_gen.networks.timeline import NUM_BINS
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE
from distill_prior_gen.training.data import SPEEDS, Dataset
from distill_prior_gen.training.descriptors import ColumnSums, describe, sum_columns

MAX_ENCODINGS = 8
"""How often each recording is encoded at most: once as it is, then at random speeds and offsets."""

MAX_COLUMNS = 50_000
"""No further encoding is made once there are this many columns."""

MAX_PIECE_S = 30.0
"""Longest piece of a recording that is encoded at once, which bounds the memory."""

PROFILE_SMOOTHING = (0.25, 0.5, 0.25)
"""Share of a column that counts for the bin below, its own and the bin above."""

PROFILE_MEDLEYS = 8
"""Number of medleys that tell what the columns of a recording are like."""

PROFILE_FLOOR = 1e-3
"""Share of each bin of a recording at least."""


class Columns(NamedTuple):
    """Columns in time order.

    Attributes:
        codes: int64 ``[column, token]``.
        descriptors: result of `describe`, ``[column, descriptor]``.
        changed: 1 where a recording begins, int64 ``[column]``.
        recording: number of the recording, int64 ``[column]``.
    """

    codes: Tensor
    descriptors: Tensor
    changed: Tensor
    recording: Tensor


class Encoding(NamedTuple):
    """A recording in codes.

    Attributes:
        codes: int64 ``[column, token]``, in time order.
        sums: what descriptors are made from.
    """

    codes: Tensor
    sums: ColumnSums


@torch.no_grad()
def encode_whole(vqvae: VQVAE, spectrogram: SpectrogramSettings, samples: Tensor) -> Encoding:
    """Codes of a recording with a peak of 1, and what its descriptors are made from.

    A last column that the recording does not fill is left out, unless it is the only one.
    """
    device, levels = next(vqvae.parameters()).device, vqvae.quantizer.rvq.num_quantizers
    samples = samples / samples.abs().max()
    columns, sums = [], []
    for piece in samples.split(round(MAX_PIECE_S * spectrogram.sample_rate)):
        shortest = spectrogram.n_fft // 2 + 1  # for the mirrored ends
        mel = spectrogram.log_mel(F.pad(piece, (0, max(0, shortest - len(piece)))).to(device))
        rows, count = math.ceil(len(mel) / STRIDE), max(1, mel.shape[1] // STRIDE)
        codes = vqvae.encode(mel[None])[0].view(rows, -1, levels).transpose(0, 1).flatten(1)
        columns.append(codes[:count].cpu())
        sums.append(ColumnSums(*(part[:count].cpu() for part in sum_columns(mel))))
    return Encoding(torch.cat(columns), join_sums(sums))


def join_sums(parts: Sequence[ColumnSums]) -> ColumnSums:
    """Sums over the columns of sounds that follow each other."""
    return ColumnSums(*(torch.cat(part) for part in zip(*parts, strict=True)))


def encode_recordings(
    vqvae: VQVAE, dataset: Dataset, generator: torch.Generator
) -> list[list[Encoding]]:
    """Several encodings of each recording to train on."""
    encodings: list[list[Encoding]] = []
    column = STRIDE * dataset.spectrogram.hop_length
    while not encodings or (
        len(encodings) < MAX_ENCODINGS
        and sum(len(one.codes) for each in encodings for one in each) < MAX_COLUMNS
    ):
        each = []
        for recording in dataset.training:
            samples = recording.samples
            if encodings:
                speed = SPEEDS[int(torch.randint(len(SPEEDS), (), generator=generator))]
                offset = int(torch.randint(column, (), generator=generator))
                samples = F.pad(resample(samples, *speed), (offset, 0))
            each.append(encode_whole(vqvae, dataset.spectrogram, samples))
        encodings.append(each)
    return encodings


def bin_edges(descriptors: Tensor) -> Tensor:
    """Values between the bins, so that each holds as many columns, ``[descriptor, bin - 1]``.

    Args:
        descriptors: ``[column, descriptor]``.
    """
    shares = torch.arange(1, NUM_BINS) / NUM_BINS
    # Values of columns, because between two of them there may be no other number.
    edges = descriptors.nanquantile(shares, dim=0, interpolation="lower")
    return edges.nan_to_num().mT.contiguous()


def to_bins(descriptors: Tensor, edges: Tensor) -> Tensor:
    """Bin of each descriptor, or `NUM_BINS` where it is not known, int64 ``[column, descriptor]``.

    Args:
        descriptors: ``[column, descriptor]``.
        edges: result of `bin_edges`.
    """
    bins = torch.searchsorted(edges, descriptors.mT.contiguous()).mT
    return bins.masked_fill(descriptors.isnan(), NUM_BINS)


def join_recordings(encodings: Sequence[Encoding], numbers: Tensor, frame_rate: float) -> Columns:
    """Recordings one after the other, with a mark at the beginning of each.

    Args:
        encodings: an encoding of each recording.
        numbers: number of each recording, int64 ``[recording]``.
        frame_rate: frames of the spectrogram per second.
    """
    lengths = torch.tensor([len(each.codes) for each in encodings])
    changed = torch.zeros(int(lengths.sum()), dtype=torch.int64)
    changed[lengths.cumsum(0) - lengths] = 1
    codes = torch.cat([each.codes for each in encodings])
    descriptors = describe(join_sums([each.sums for each in encodings]), frame_rate)
    return Columns(codes, descriptors, changed, numbers.repeat_interleave(lengths))


class Medleys:
    """Medleys of recordings, and how their columns are described.

    Args:
        encodings: several encodings of each recording.
        frame_rate: frames of the spectrogram per second.
        generator: source of random numbers.
    """

    def __init__(
        self,
        encodings: Sequence[Sequence[Encoding]],
        frame_rate: float,
        generator: torch.Generator,
    ) -> None:
        self.encodings, self.frame_rate, self.generator = encodings, frame_rate, generator

    def draw(self) -> Columns:
        """All recordings in random order, each in one of its encodings."""
        order = torch.randperm(len(self.encodings[0]), generator=self.generator)
        which = torch.randint(len(self.encodings), (len(order),), generator=self.generator)
        chosen = [
            self.encodings[encoding][number]
            for encoding, number in zip(which.tolist(), order.tolist(), strict=True)
        ]
        return join_recordings(chosen, order, self.frame_rate)

    @cached_property
    def edges(self) -> Tensor:
        """Values between the bins of the descriptors; see `bin_edges`."""
        return bin_edges(self._long.descriptors)

    def profile(self) -> Tensor:
        """Share of the columns of each recording in each bin, ``[recording, descriptor, bin]``."""
        medley = self._long
        bins = F.one_hot(to_bins(medley.descriptors, self.edges), NUM_BINS + 1)[..., :NUM_BINS]
        counts = torch.zeros(len(self.encodings[0]), *bins.shape[1:])
        counts.index_add_(0, medley.recording, bins.float())
        kernel = torch.tensor([[PROFILE_SMOOTHING]])
        padded = F.pad(counts.flatten(0, 1), (1, 1), "replicate")
        shares = F.conv1d(padded[:, None], kernel)[:, 0].view_as(counts)
        return (shares / shares.sum(dim=2, keepdim=True).clamp(min=1)).clamp(min=PROFILE_FLOOR)

    @cached_property
    def _long(self) -> Columns:
        """Several medleys, because what a column is like depends on what comes before and after."""
        medleys = [self.draw() for _ in range(PROFILE_MEDLEYS)]
        return Columns(*(torch.cat(parts) for parts in zip(*medleys, strict=True)))
