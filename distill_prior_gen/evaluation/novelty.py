"""Whether takes are derived from the recordings, and whether they are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, samplers
from distill_prior_gen.sampling.layout import plan_layout
from distill_prior_gen.sampling.takes import draw_takes
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.vqvae import encode

COPY = 0.9
"""Share of equal codes from which a chunk counts as a copy."""

STEPS = 4
"""Chunks of a recording that begin within the duration of one, so that a copy is found."""


@dataclass(frozen=True, eq=False)
class Novelty:
    """How near chunks are to their nearest chunk of a recording.

    Attributes:
        takes: of generated chunks, ``equal_codes`` (share, 0 to 1) and ``mel_distance``
            (mean absolute difference of the decoded log-mels), float32 ``[chunk]``; each is
            that of the chunk nearest in its own measure.
        recordings: the same of chunks of recordings and those of all other recordings.
    """

    takes: dict[str, Tensor]
    recordings: dict[str, Tensor]

    @property
    def summary(self) -> dict[str, Any]:
        """Medians and extremes of both, the share of copies, and that of strangers.

        A stranger is farther from every recording, as a mel, than any chunk of a recording is
        from the other recordings.
        """
        farthest = float(self.recordings["mel_distance"].max())
        return {
            **{
                group: {
                    measure: {
                        "lowest": float(values.min()),
                        "median": median(values.tolist()),
                        "highest": float(values.max()),
                    }
                    for measure, values in measures.items()
                }
                for group, measures in (("takes", self.takes), ("recordings", self.recordings))
            },
            "chunks": len(self.takes["equal_codes"]),
            "copies": float((self.takes["equal_codes"] >= COPY).float().mean()),
            "strangers": float((self.takes["mel_distance"] > farthest).float().mean()),
        }


@torch.no_grad()
def measure_novelty(
    model: PriorModel,
    dataset: Dataset,
    takes: int,
    config: GenerationConfig,
    progress: Progress,
) -> Novelty:
    """Compare takes with the recordings that a model was trained on.

    Chunks are compared by their codes, and by the mels that the codes decode to, which leaves
    the losses of the VQ-VAE out of the distance.

    Args:
        dataset: all its recordings count, whether held out in training or not.
        takes: how many are made.
        config: of the takes, which are those of its seed (0 if it has none) and the next.
    """
    progress(0.0, "Encoding the recordings...")
    step = max(1, dataset.chunk_samples // STEPS)
    sound = {name: names[0] for names in dataset.copies for name in names}
    numbers: dict[str, int] = {}
    codes, owners = [], []
    for recording in dataset.recordings:
        chunks = dataset.cut([recording], step=step)
        codes.append(encode(model.vqvae, dataset, chunks))
        name = sound.get(recording.name, recording.name)  # copies do not count as others
        owners += [numbers.setdefault(name, len(numbers))] * len(chunks)
    known, owner = torch.cat(codes), torch.tensor(owners)
    sampler = get_registered("sampler", config.sampler, samplers())
    first = config.seed or 0
    layout = plan_layout(model, config, sampler.continues)

    def report(share: float, text: str) -> None:
        progress(0.1 + 0.6 * share, text)

    made = draw_takes(sampler, model, config, range(first, first + takes), layout, None, report)
    made = made.flatten(0, 1)
    progress(0.7, "Comparing...")
    known_mels, made_mels = model.decode(known).cpu(), model.decode(made).cpu()
    nobody = torch.full((len(made),), -1)
    return Novelty(
        takes=nearest(made, made_mels, nobody, known, known_mels, owner),
        recordings=nearest(known, known_mels, owner, known, known_mels, owner),
    )


def nearest(
    codes: Tensor,
    mels: Tensor,
    owners: Tensor,
    known_codes: Tensor,
    known_mels: Tensor,
    known_owners: Tensor,
) -> dict[str, Tensor]:
    """`Novelty`'s measures of chunks and the nearest known chunk of another owner.

    Args:
        codes, known_codes: int64 ``[chunk, H * W, level]``.
        mels, known_mels: log-mels ``[chunk, n_mels, frames]``.
        owners, known_owners: int64 ``[chunk]``, which recording a chunk is of.
    """
    equal, distance = [], []
    for chunk, mel, owner in zip(codes, mels, owners, strict=True):
        others = known_owners != owner
        equal.append((known_codes[others] == chunk).float().mean(dim=(1, 2)).max())
        distance.append((known_mels[others] - mel).abs().mean(dim=(1, 2)).min())
    return {"equal_codes": torch.stack(equal), "mel_distance": torch.stack(distance)}


def draw_novelty(path: Path, novelty: Novelty, overwrite: bool = False) -> None:
    """Write a PNG with histograms of both measures.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    labels = {"equal_codes": "share of equal codes", "mel_distance": "mel distance"}
    for axes, (measure, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        groups: Sequence[np.ndarray] = [
            novelty.takes[measure].numpy(),
            novelty.recordings[measure].numpy(),
        ]
        bins = np.histogram_bin_edges(np.concatenate(groups), bins=24)
        for values, name in zip(groups, ("takes", "between recordings"), strict=True):
            weights = np.full(len(values), 1 / len(values))
            axes.hist(values, bins, weights=weights, alpha=0.6, label=name)
        axes.set(xlabel=f"{label}, to the nearest chunk", ylabel="share of the chunks")
        axes.legend()
    with atomic_write(path, overwrite) as partial:
        figure.savefig(partial, dpi=80, format="png")
