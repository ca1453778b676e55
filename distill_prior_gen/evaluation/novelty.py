"""Whether takes are derived from the recordings, and whether they are new."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from distill_prior_gen.model import PriorModel
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.vqvae import encode

MIN_COPY_SHARE = 0.9
"""A chunk counts as a copy from this share of equal codes."""

CHUNK_STEPS = 4
"""Chunks of recordings overlap: this many begin within the length of a chunk, to find copies."""

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
        recordings: measures of chunks of recordings, each compared with all other recordings.
    """

    takes: dict[str, Tensor]
    recordings: dict[str, Tensor]

    @property
    def summary(self) -> dict[str, Any]:
        """Statistics of the chunks.

        ``takes`` and ``recordings`` have the ``lowest``, ``median`` and ``highest`` value of
        each measure. ``chunks`` is the number of generated chunks, ``copies`` the share of them
        with at least `MIN_COPY_SHARE` equal codes, and ``outliers`` the share of them whose mel
        distance is greater than that of any chunk of a recording.
        """
        farthest = float(self.recordings["mel_distance"].max())
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
    }


@torch.no_grad()
def measure_novelty(model: PriorModel, dataset: Dataset, codes: Tensor) -> Novelty:
    """Compare generated chunks with the recordings that a model was trained on.

    Chunks are compared by their codes and by the log-mels that the codes decode to, so that
    reconstruction errors of the VQ-VAE do not count.

    Args:
        model: model that the chunks were drawn from.
        dataset: recordings with the spectrogram settings and chunk length of the model. Those
            that were held out count as well. Copies of one sound count as one recording.
        codes: int64 ``[chunk, H * W, level]``.
    """
    known, owners = _encode_recordings(model, dataset)
    known_mels, mels = model.decode(known).cpu(), model.decode(codes).cpu()
    no_owners = torch.full((len(codes),), NO_RECORDING)
    return Novelty(
        takes=nearest(codes, mels, no_owners, known, known_mels, owners),
        recordings=nearest(known, known_mels, owners, known, known_mels, owners),
    )


def _encode_recordings(model: PriorModel, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Codes ``[chunk, H * W, level]`` of overlapping chunks, and owners ``[chunk]``."""
    step = max(1, dataset.chunk_samples // CHUNK_STEPS)
    first_copy = {name: names[0] for names in dataset.copies for name in names}
    numbers: dict[str, int] = {}
    codes, owners = [], []
    for recording in dataset.recordings:
        chunks = dataset.cut([recording], step=step)
        codes.append(encode(model.vqvae, dataset, chunks))
        name = first_copy.get(recording.name, recording.name)
        owners += [numbers.setdefault(name, len(numbers))] * len(chunks)
    return torch.cat(codes), torch.tensor(owners)


def nearest(
    codes: Tensor,
    mels: Tensor,
    owners: Tensor,
    known_codes: Tensor,
    known_mels: Tensor,
    known_owners: Tensor,
) -> dict[str, Tensor]:
    """Compare chunks with all known chunks of other owners.

    Args:
        codes, known_codes: int64 ``[chunk, H * W, level]``.
        mels, known_mels: log-mels, float32 ``[chunk, n_mels, frames]``.
        owners, known_owners: number of the recording that each chunk comes from, or
            `NO_RECORDING`, int64 ``[chunk]``.

    Returns:
        ``equal_codes`` and ``mel_distance`` of the nearest chunks, see `Novelty`.
    """
    equal, distance = [], []
    for chunk, mel, owner in zip(codes, mels, owners, strict=True):
        others = known_owners != owner
        equal.append((known_codes[others] == chunk).float().mean(dim=(1, 2)).max())
        distance.append((known_mels[others] - mel).abs().mean(dim=(1, 2)).min())
    return {"equal_codes": torch.stack(equal), "mel_distance": torch.stack(distance)}
