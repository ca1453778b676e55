"""Results of a training: the model file and a picture of the losses."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.checkpoint.provenance import EVALUATION, PROVENANCE
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.loop import TrainingHistory
from distill_prior_gen.training.prior import TrainedPrior
from distill_prior_gen.training.provenance import Provenance, training_date
from distill_prior_gen.training.settings import PriorSettings, VQVAESettings
from distill_prior_gen.training.timeline import MAX_FILE_BYTES as MAX_TIMELINE_BYTES
from distill_prior_gen.training.timeline import TrainedTimeline
from distill_prior_gen.training.vocoder import MAX_FILE_BYTES as MAX_VOCODER_BYTES
from distill_prior_gen.training.vocoder import TrainedVocoder
from distill_prior_gen.training.vqvae import TrainedVQVAE, reconstruct

MAX_PICTURE_BYTES = 2_000_000
"""More than the picture needs on disk."""

MAX_ADDED_BYTES = MAX_TIMELINE_BYTES + MAX_VOCODER_BYTES
"""Largest size of a timeline prior and a vocoder in a file."""

NUM_EXAMPLES = 4
"""Number of chunks that are plotted with their reconstructions."""


def save_model(
    path: str | os.PathLike[str],
    dataset: Dataset,
    vqvae: TrainedVQVAE,
    prior: TrainedPrior | None = None,
    overwrite: bool = False,
    *,
    timeline: TrainedTimeline | None = None,
    vocoder: TrainedVocoder | None = None,
    provenance: Provenance | None = None,
    evaluation: dict[str, float] | None = None,
) -> None:
    """Write a trained model to a ``.distill`` file, whole or not at all.

    Args:
        path: the model file.
        dataset: dataset that the networks were trained on.
        vqvae: result of `train_vqvae`.
        prior: result of `train_prior`. Without it, `load_model` refuses the file until
            ``distill-prior train-prior`` has added a prior.
        overwrite: whether to replace an existing file.
        timeline: result of `train_timeline`. Without it, takes are drawn with ``continue``.
        vocoder: result of `train_vocoder`. Without it, takes are played by ``mel-griffin-lim``.
        provenance: where the model comes from, for its card. All dates in the file are those of it.
        evaluation: result of `measure_takes`, for its card.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
        OSError: if the file cannot be written.
    """
    date = provenance.date if provenance else training_date()
    others = {PROVENANCE: provenance and provenance.entry, EVALUATION: evaluation}
    write_checkpoint(
        path,
        vqvae.vqvae,
        prior.prior if prior else None,
        dataset.spectrogram,
        float(dataset.chunk_duration),
        metadata={
            "model_id": provenance.model_id if provenance else str(uuid.uuid4()),
            "training_date": date,
            "save_date": date,
            **_dataset_metadata(dataset),
            **_loss_metadata(vqvae.history),
        },
        prior_metadata=prior.metadata | {"training_date": date} if prior else None,
        overwrite=overwrite,
        timeline=timeline.network if timeline else None,
        timeline_metadata=timeline.metadata if timeline else None,
        vocoder=vocoder.network if vocoder else None,
        vocoder_metadata=vocoder.metadata if vocoder else None,
        training=asdict(vqvae.settings),
        health=vqvae.health,
        losses={
            "train_losses": vqvae.history.train_losses,
            "val_losses": vqvae.history.val_losses,
        },
        others={key: value for key, value in others.items() if value},
    )


def _dataset_metadata(dataset: Dataset) -> dict[str, Any]:
    return {
        "dataset_name": dataset.name,
        "dataset_file_count": dataset.files,
        "dataset_total_duration_s": dataset.seconds,
    }


def _loss_metadata(history: TrainingHistory) -> dict[str, Any]:
    return {
        "training_epochs": len(history.val_losses),
        "final_train_loss": history.train_losses[history.epoch - 1],
        "final_val_loss": history.val_loss,
    }


def model_bytes(dataset: Dataset, vqvae: VQVAESettings, prior: PriorSettings) -> int:
    """Largest size in bytes of a model with these settings, a timeline prior and a vocoder."""
    grid = grid_shape(dataset.spectrogram.n_mels, dataset.spectrogram.frames(dataset.chunk_samples))
    with torch.device("meta"):
        networks = (
            VQVAE(vqvae.codebook_dim, vqvae.codebook_size, vqvae.levels),
            Prior(
                vqvae.codebook_size,
                math.prod(grid) * vqvae.levels,
                vqvae.levels,
                prior.hidden_size,
                prior.layers,
                prior.heads,
            ),
        )
    weights = sum(t.nbytes for network in networks for t in network.state_dict().values())
    return weights + MAX_ADDED_BYTES


def plot_training(
    path: Path,
    dataset: Dataset,
    vqvae: VQVAE,
    histories: dict[str, TrainingHistory],
    overwrite: bool = False,
) -> None:
    """Write a PNG with the losses, and held-out chunks above their reconstructions.

    Args:
        path: the picture.
        dataset: dataset whose held-out recordings are shown.
        vqvae: network that reconstructs them.
        histories: losses of each training by the name of the loss.
        overwrite: whether to replace an existing file.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    figure = Figure(figsize=(12, 9), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2), squeeze=False)[:, 0]
    _plot_losses(top, histories)
    chunks = dataset.cut(dataset.validation)
    shown = np.linspace(0, len(chunks) - 1, min(NUM_EXAMPLES, len(chunks)), dtype=int)
    mel = dataset.log_mels([chunks[i] for i in shown])
    reconstructed = reconstruct(vqvae, mel.to(next(vqvae.parameters()).device)).cpu()
    _plot_mels(bottom, mel, reconstructed)
    with atomic_write(path, overwrite) as partial:
        figure.savefig(partial, dpi=80, format="png")


def _plot_losses(figure: SubFigure, histories: dict[str, TrainingHistory]) -> None:
    panels = figure.subplots(1, len(histories), squeeze=False)[0]
    for axes, (name, history) in zip(panels, histories.items(), strict=True):
        curves: dict[str, Sequence[float | None]] = {
            "training": history.train_losses,
            "validation": history.val_losses,
        }
        for label, losses in curves.items():
            values = [math.nan if loss is None else loss for loss in losses]
            axes.plot(range(1, len(values) + 1), values, label=label)
        axes.axvline(history.epoch, color="grey", linestyle=":", label="kept")
        axes.set(title=name, xlabel="epoch", ylabel="loss")
        axes.legend()


def _plot_mels(figure: SubFigure, original: Tensor, reconstructed: Tensor) -> None:
    """Plot log-mels ``[chunk, n_mels, frames]`` above their reconstructions."""
    rows = figure.subplots(2, len(original), squeeze=False, sharex=True, sharey=True)
    for panels, mels, name in zip(
        rows, (original, reconstructed), ("original", "reconstructed"), strict=True
    ):
        panels[0].set_ylabel(f"{name}, mel band")
        for axes, mel, reference in zip(panels, mels, original, strict=True):
            axes.imshow(
                mel.numpy(), origin="lower", aspect="auto", vmin=0, vmax=float(reference.max())
            )
    for axes in rows[1]:
        axes.set_xlabel("frame")
