"""What a training leaves behind: the model file and a picture of how it went."""

from __future__ import annotations

import math
import os
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.loop import Fit
from distill_prior_gen.training.prior import TrainedPrior
from distill_prior_gen.training.settings import PriorSettings, VQVAESettings
from distill_prior_gen.training.vqvae import TrainedVQVAE, reconstruct

PICTURE_BYTES = 2_000_000
"""Room for the picture, and some to spare."""

EXAMPLES = 4
"""Chunks that are shown beside their reconstructions."""


def save_model(
    path: str | os.PathLike[str],
    dataset: Dataset,
    vqvae: TrainedVQVAE,
    prior: TrainedPrior | None = None,
    overwrite: bool = False,
) -> None:
    """Write a trained model to a ``.distill`` file, whole or not at all.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    now, fit = datetime.now(UTC).isoformat(), vqvae.fit
    settings = asdict(vqvae.settings)
    write_checkpoint(
        path,
        vqvae.vqvae,
        prior.prior if prior else None,
        dataset.spectrogram,
        float(dataset.chunk_duration),
        metadata={
            "model_id": str(uuid.uuid4()),
            "dataset_name": dataset.name,
            "dataset_file_count": dataset.files,
            "dataset_total_duration_s": dataset.seconds,
            "training_date": now,
            "save_date": now,
            "training_epochs": len(fit.val_losses),
            "final_train_loss": fit.train_losses[fit.epoch - 1],
            "final_val_loss": fit.val_loss,
        },
        prior_metadata=prior.metadata if prior else None,
        overwrite=overwrite,
        training=settings,
        health=vqvae.health,
        losses={"train_losses": fit.train_losses, "val_losses": fit.val_losses},
    )


def model_bytes(dataset: Dataset, vqvae: VQVAESettings, prior: PriorSettings) -> int:
    """Size of the weights of a model with these settings."""
    grid = grid_shape(dataset.spectrogram.n_mels, dataset.spectrogram.frames(dataset.chunk_samples))
    tokens = math.prod(grid) * vqvae.levels
    with torch.device("meta"):
        networks = (
            VQVAE(vqvae.codebook_dim, vqvae.codebook_size, vqvae.levels),
            Prior(
                vqvae.codebook_size,
                tokens,
                vqvae.levels,
                prior.hidden_size,
                prior.layers,
                prior.heads,
            ),
        )
    return sum(t.nbytes for network in networks for t in network.state_dict().values())


def draw_training(
    path: Path,
    dataset: Dataset,
    vqvae: VQVAE,
    fits: dict[str, Fit],
    overwrite: bool = False,
) -> None:
    """Write a PNG of the losses, and of held-out chunks above their reconstructions.

    Args:
        fits: by the name of the loss.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    figure = Figure(figsize=(12, 9), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=(1, 2), squeeze=False)
    top, bottom = parts[:, 0]
    for axes, (name, fit) in zip(
        top.subplots(1, len(fits), squeeze=False)[0], fits.items(), strict=True
    ):
        for label, losses in (("training", fit.train_losses), ("validation", fit.val_losses)):
            values = [math.nan if loss is None else loss for loss in losses]
            axes.plot(range(1, len(values) + 1), values, label=label)
        axes.axvline(fit.epoch, color="grey", linestyle=":", label="kept")
        axes.set(title=name, xlabel="epoch", ylabel="loss")
        axes.legend()
    chunks = dataset.cut(dataset.validation)
    shown = np.linspace(0, len(chunks) - 1, min(EXAMPLES, len(chunks)), dtype=int)
    mel = dataset.log_mels([chunks[i] for i in shown])
    back = reconstruct(vqvae, mel.to(next(vqvae.parameters()).device)).cpu()
    rows = bottom.subplots(2, len(shown), squeeze=False, sharex=True, sharey=True)
    for axes_row, mels, name in zip(rows, (mel, back), ("original", "reconstructed"), strict=True):
        axes_row[0].set_ylabel(f"{name}, mel band")
        for axes, image, wanted in zip(axes_row, mels, mel, strict=True):
            axes.imshow(
                image.numpy(), origin="lower", aspect="auto", vmin=0, vmax=float(wanted.max())
            )
    for axes in rows[1]:
        axes.set_xlabel("frame")
    with atomic_write(path, overwrite) as partial:
        figure.savefig(partial, dpi=80, format="png")
