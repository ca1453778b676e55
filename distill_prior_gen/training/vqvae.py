"""Training the VQ-VAE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.model import find_device
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.interrupts import put_off
from distill_prior_gen.training.loop import Fit, fit, seeded
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.settings import VQVAESettings

UNQUANTIZED = 0.2
"""Share of the epochs before the codes are made, by k-means on what the encoder has learnt."""

INITIAL_CHUNKS = 512
"""Most chunks that k-means sees."""

RESOLUTIONS = 3
"""Resolutions of the loss, each half as fine as the one before."""

COMMITMENT_WEIGHT = 0.25
DEAD_BELOW = 2
"""A code that is used less often in a batch, on average, is replaced."""

LOW_USE = 0.3
"""A warning is given where a level uses a smaller share of its codes."""


@dataclass(frozen=True, eq=False)
class TrainedVQVAE:
    """A VQ-VAE and how its training went.

    Attributes:
        vqvae: in evaluation mode.
        settings: of the training.
        fit: losses by epoch; that of the validation is the mean absolute difference of the
            log-mels.
        health: ``level_0`` and so on, each with ``utilization`` (share of the codes that the
            training recordings use), ``perplexity`` and ``dead_codes``.
        warnings: what to know of it.
    """

    vqvae: VQVAE
    settings: VQVAESettings
    fit: Fit
    health: dict[str, dict[str, float]]
    warnings: list[str]


def train_vqvae(
    dataset: Dataset,
    settings: VQVAESettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> TrainedVQVAE:
    """Train a VQ-VAE on the recordings of a dataset.

    Ctrl-C ends the training early and keeps the best epoch so far.

    Args:
        dataset: from `read_dataset`.
        settings: by default those for so many recordings.
        device: see `load_model`.
        progress: called with the share that is done and the losses.

    Raises:
        ValueError: if there is no such device.
        FloatingPointError, MemoryError: saying what to lower.
    """
    settings = settings or VQVAESettings.for_files(dataset.files)
    target = find_device(device)
    with put_off() as interruption, seeded(settings.seed, target) as generator:
        vqvae = VQVAE(
            settings.codebook_dim,
            settings.codebook_size,
            settings.levels,
            settings.dropout,
            decay=settings.decay,
            commitment_weight=COMMITMENT_WEIGHT,
            threshold_ema_dead_code=DEAD_BELOW,
            kmeans_init=True,
            kmeans_iters=10,
        ).to(target)
        stage = _Stage(vqvae, dataset, settings, generator)
        result = fit(
            vqvae,
            settings,
            stage.batches,
            stage.loss,
            stage.validate,
            progress or no_progress,
            "VQ-VAE",
        )
        codes = encode(vqvae, dataset, dataset.cut(dataset.training))
        result.interrupted |= interruption.came
    health = codebook_health(codes, settings.codebook_size)
    warnings = [
        f"{level.replace('_', ' ')} uses {figures['utilization']:.0%} of its codes; lower "
        f"codebook_size ({settings.codebook_size})"
        for level, figures in health.items()
        if figures["utilization"] < LOW_USE
    ]
    return TrainedVQVAE(vqvae, settings, result, health, warnings)


@dataclass(frozen=True)
class _Stage:
    """Batches and losses of the training of a VQ-VAE, for `fit`."""

    vqvae: VQVAE
    dataset: Dataset
    settings: VQVAESettings
    generator: torch.Generator

    @property
    def quantized_from(self) -> int:
        return int(UNQUANTIZED * self.settings.epochs)

    @property
    def device(self) -> torch.device:
        return next(self.vqvae.parameters()).device

    def batches(self, epoch: int) -> list[list[Tensor]]:
        chunks = self.dataset.epoch(self.generator)
        order = torch.randperm(len(chunks), generator=self.generator)
        if epoch == self.quantized_from:
            initial = [chunks[i] for i in order[:INITIAL_CHUNKS]]
            with torch.no_grad():  # the quantizer makes its codes of what it sees first
                self.vqvae.encode(self.dataset.log_mels(initial).to(self.device))
        count = max(1, len(chunks) // self.settings.batch_size)
        return [[chunks[i] for i in part] for part in order.tensor_split(count)]

    def loss(self, epoch: int, batch: list[Tensor]) -> Tensor:
        mel = self.dataset.log_mels(batch).to(self.device)
        embeddings = self.vqvae.encoder(mel.unsqueeze(1))
        commitment = mel.new_zeros(())
        if epoch >= self.quantized_from:
            quantized, _, losses = self.vqvae.quantizer.rvq(embeddings.flatten(2).mT)
            embeddings = quantized.mT.reshape(embeddings.shape)
            commitment = losses.sum()
        return mel_loss(self.vqvae.decode(embeddings, *mel.shape[1:]), mel) + commitment

    def validate(self, epoch: int) -> float | None:
        if epoch < self.quantized_from:
            return None
        return reconstruction_error(self.vqvae, self.dataset, self.dataset.validation)


def mel_loss(mel: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference of log-mels ``[batch, n_mels, frames]``, at several resolutions."""
    loss = F.l1_loss(mel, wanted)
    for _ in range(RESOLUTIONS - 1):
        mel, wanted = F.avg_pool2d(mel, 2, ceil_mode=True), F.avg_pool2d(wanted, 2, ceil_mode=True)
        loss = loss + F.l1_loss(mel, wanted)
    return loss / RESOLUTIONS


@torch.no_grad()
def reconstruct(vqvae: VQVAE, mel: Tensor) -> Tensor:
    """Log-mels ``[batch, n_mels, frames]`` through the codes and back."""
    bands, frames = mel.shape[1:]
    codes = vqvae.encode(mel)
    return vqvae.decode(vqvae.codes_to_embeddings(codes, grid_shape(bands, frames)), bands, frames)


@torch.no_grad()
def reconstruction_error(vqvae: VQVAE, dataset: Dataset, recordings: Sequence[Recording]) -> float:
    """Mean absolute difference of the log-mels of recordings and those that come back."""
    device, total, chunks = next(vqvae.parameters()).device, 0.0, dataset.cut(recordings)
    for part in dataset.mel_batches(chunks):
        mel = part.to(device)
        total += float((reconstruct(vqvae, mel) - mel).abs().mean()) * len(mel)
    return total / len(chunks)


@torch.no_grad()
def encode(vqvae: VQVAE, dataset: Dataset, chunks: Sequence[Tensor]) -> Tensor:
    """Codes, int64 ``[chunk, H * W, level]`` on the CPU, of chunks from `Dataset.cut`."""
    device = next(vqvae.parameters()).device
    return torch.cat([vqvae.encode(m.to(device)).cpu() for m in dataset.mel_batches(chunks)])


def codebook_health(codes: Tensor, codebook_size: int) -> dict[str, dict[str, float]]:
    """Use of each level's codes, see `TrainedVQVAE.health`, in codes ``[..., level]``."""
    health = {}
    for level, used in enumerate(codes.flatten(0, -2).T):
        share = torch.bincount(used, minlength=codebook_size) / len(used)
        dead = int((share == 0).sum())
        health[f"level_{level}"] = {
            "utilization": 1 - dead / codebook_size,
            "perplexity": float(torch.special.entr(share).sum().exp()),
            "dead_codes": dead,
        }
    return health
