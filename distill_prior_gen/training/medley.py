"""Recordings as columns of codes, and medleys of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import resample
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE
from distill_prior_gen.training.data import SPEEDS, Dataset

MAX_ENCODINGS = 8
"""How often each recording is encoded at most: once as it is, then at random speeds and offsets."""

MAX_COLUMNS = 50_000
"""No further encoding is made once there are this many columns."""

MAX_PIECE_S = 30.0
"""Longest piece of a recording that is encoded at once, which bounds the memory."""


class Columns(NamedTuple):
    """Columns in time order.

    Attributes:
        codes: int64 ``[column, token]``.
        changed: 1 where a recording begins, int64 ``[column]``.
        recording: number of the recording, int64 ``[column]``.
    """

    codes: Tensor
    changed: Tensor
    recording: Tensor


@torch.no_grad()
def encode_whole(vqvae: VQVAE, spectrogram: SpectrogramSettings, samples: Tensor) -> Tensor:
    """Codes of a recording with a peak of 1 in time order, int64 ``[column, token]``.

    A last column that the recording does not fill is left out, unless it is the only one.
    """
    device, levels = next(vqvae.parameters()).device, vqvae.quantizer.rvq.num_quantizers
    samples = samples / samples.abs().max()
    columns = []
    for piece in samples.split(round(MAX_PIECE_S * spectrogram.sample_rate)):
        shortest = spectrogram.n_fft // 2 + 1  # for the mirrored ends
        mel = spectrogram.log_mel(F.pad(piece, (0, max(0, shortest - len(piece)))).to(device))
        rows = math.ceil(len(mel) / STRIDE)
        codes = vqvae.encode(mel[None])[0].view(rows, -1, levels).transpose(0, 1).flatten(1)
        columns.append(codes[: max(1, mel.shape[1] // STRIDE)].cpu())
    return torch.cat(columns)


def encode_recordings(
    vqvae: VQVAE, dataset: Dataset, generator: torch.Generator
) -> list[list[Tensor]]:
    """Several encodings of each recording to train on, ``[column, token]`` each."""
    encodings: list[list[Tensor]] = []
    column = STRIDE * dataset.spectrogram.hop_length
    while not encodings or (
        len(encodings) < MAX_ENCODINGS
        and sum(len(codes) for each in encodings for codes in each) < MAX_COLUMNS
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


def join_recordings(codes: Sequence[Tensor], numbers: Tensor) -> Columns:
    """Recordings one after the other, with a mark at the beginning of each.

    Args:
        codes: int64 ``[column, token]`` of each recording.
        numbers: number of each recording, int64 ``[recording]``.
    """
    lengths = torch.tensor([len(each) for each in codes])
    changed = torch.zeros(int(lengths.sum()), dtype=torch.int64)
    changed[lengths.cumsum(0) - lengths] = 1
    return Columns(torch.cat(list(codes)), changed, numbers.repeat_interleave(lengths))
