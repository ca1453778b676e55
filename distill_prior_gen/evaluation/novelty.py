"""Whether takes are derived from the recordings, and whether they are new."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from distill_prior_gen.config import Progress, no_progress, partial_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.vqvae import encode

MIN_COPY_SHARE = 0.9
"""A chunk counts as a copy from this share of equal codes."""

CHUNK_STEPS = 4
"""Chunks of recordings overlap: this many begin within the length of a chunk, to find copies."""

MAX_COMPARED = 1000
"""Largest number of chunks of recordings that are compared with all others."""

BLOCK_CHUNKS = 32
"""Chunks that are compared at once."""

NO_RECORDING = -1
"""Owner of generated chunks."""


@dataclass(frozen=True, eq=False)
class Novelty:
    """How similar chunks are to the most similar chunk of a recording.

    Both measures are dicts with ``equal_codes``, the largest share of equal codes, from 0 to 1,
    and ``mel_distance``, the smallest mean absolute difference of the decoded log-mels, float32
    ``[chunk]`` each. They may come from different chunks.

    Attributes:
        takes: measures of generated chunks, compared with all recordings.
        recordings: measures of chunks of recordings, each compared with all other recordings;
            empty if all recordings are the same sound.
    """

    takes: dict[str, Tensor]
    recordings: dict[str, Tensor]

    @property
    def summary(self) -> dict[str, Any]:
        """Statistics of the chunks.

        ``takes`` and ``recordings`` have the ``lowest``, ``median`` and ``highest`` value of
        each measure. ``chunks`` is the number of generated chunks, ``copies`` the share of them
        with at least `MIN_COPY_SHARE` equal codes, and ``outliers`` the share of them whose mel
        distance is greater than that of any chunk of a recording. If all recordings are the same
        sound, ``recordings`` is empty and ``outliers`` is 0.
        """
        usual = self.recordings["mel_distance"]
        farthest = float(usual.max()) if len(usual) else torch.inf
        return {
            "takes": _statistics(self.takes),
            "recordings": _statistics(self.recordings),
            "chunks": len(self.takes["equal_codes"]),
            "copies": float((self.takes["equal_codes"] >= MIN_COPY_SHARE).float().mean()),
            "outliers": float((self.takes["mel_distance"] > farthest).float().mean()),
        }


def _statistics(measures: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    return {
        measure: {
            "lowest": float(values.min()),
            "median": median(values.tolist()),
            "highest": float(values.max()),
        }
        for measure, values in measures.items()
        if len(values)
    }


@torch.no_grad()
def measure_novelty(
    model: PriorModel,
    dataset: Dataset,
    codes: Mapping[str, Tensor],
    progress: Progress = no_progress,
) -> dict[str, Novelty]:
    """Compare generated chunks with the recordings that a model was trained on.

    Chunks are compared by their codes and by the log-mels that the codes decode to, so that
    reconstruction errors of the VQ-VAE do not count. What is usual between recordings is measured
    on at most `MAX_COMPARED` of their chunks, evenly spaced.

    Args:
        model: model that the chunks were drawn from.
        dataset: recordings with the spectrogram settings and chunk length of the model. Those
            that were held out count as well. Copies of one sound count as one recording.
        codes: sets of generated chunks by name, int64 ``[chunk, H * W, level]`` each.
        progress: called with the share that is done.

    Returns:
        The measures of each set.
    """
    known, owners = _encode_recordings(model, dataset)
    known_mels = model.decode(known).cpu()
    chosen = torch.arange(0, len(known), math.ceil(len(known) / MAX_COMPARED))
    total = len(chosen) + sum(map(len, codes.values()))
    done = 0

    def compare(chunks: Tensor, mels: Tensor, chunk_owners: Tensor) -> dict[str, Tensor]:
        nonlocal done
        stage = partial_progress(progress, done / total, (done + len(chunks)) / total)
        done += len(chunks)
        return nearest(chunks, mels, chunk_owners, known, known_mels, owners, stage)

    recordings = compare(known[chosen], known_mels[chosen], owners[chosen])
    found = {}
    for name, chunks in codes.items():
        no_owners = torch.full((len(chunks),), NO_RECORDING)
        takes = compare(chunks, model.decode(chunks).cpu(), no_owners)
        found[name] = Novelty(takes, recordings)
    return found


def _encode_recordings(model: PriorModel, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Codes ``[chunk, H * W, level]`` of overlapping chunks, and owners ``[chunk]``."""
    step = max(1, dataset.chunk_samples // CHUNK_STEPS)
    numbers: dict[str, int] = {}
    codes, owners = [], []
    for recording in dataset.recordings:
        chunks = dataset.cut([recording], step=step)
        codes.append(encode(model.vqvae, dataset, chunks))
        name = dataset.original(recording)
        owners += [numbers.setdefault(name, len(numbers))] * len(chunks)
    return torch.cat(codes), torch.tensor(owners)


def nearest(
    codes: Tensor,
    mels: Tensor,
    owners: Tensor,
    known_codes: Tensor,
    known_mels: Tensor,
    known_owners: Tensor,
    progress: Progress = no_progress,
) -> dict[str, Tensor]:
    """Compare chunks with all known chunks of other owners.

    Args:
        codes, known_codes: int64 ``[chunk, H * W, level]``.
        mels, known_mels: log-mels, float32 ``[chunk, n_mels, frames]``.
        owners, known_owners: number of the recording that each chunk comes from, or
            `NO_RECORDING`, int64 ``[chunk]``.
        progress: called with the share that is done.

    Returns:
        ``equal_codes`` and ``mel_distance`` of the nearest chunks, see `Novelty`. Chunks without
        a known chunk of another owner are left out.
    """
    flat_codes, flat_mels = known_codes.flatten(1).float(), known_mels.flatten(1)
    equal, distance = [codes.new_zeros(0).float()], [mels.new_zeros(0)]
    for start in range(0, len(codes), BLOCK_CHUNKS):
        progress(start / len(codes), "Comparing with the recordings...")
        block = slice(start, start + BLOCK_CHUNKS)
        own = owners[block, None] == known_owners
        # The norms of order 0 and 1: the number of differences, and the sum of their sizes.
        different = torch.cdist(codes[block].flatten(1).float(), flat_codes, p=0)
        away = torch.cdist(mels[block].flatten(1), flat_mels, p=1)
        compared = ~own.all(dim=1)
        for found, norms, size in (
            (equal, different, flat_codes.shape[1]),
            (distance, away, flat_mels.shape[1]),
        ):
            least = norms.masked_fill(own, torch.inf).min(dim=1).values[compared]
            found.append(least / size)
    return {"equal_codes": 1 - torch.cat(equal), "mel_distance": torch.cat(distance)}
