"""Training the VQ-VAE.

References:
    van den Oord et al. 2017, Neural Discrete Representation Learning, arXiv 1711.00937: the
    VQ-VAE, its commitment loss, and codebooks that follow moving averages (appendix A.1).

    Zeghidour et al. 2021, SoundStream, arXiv 2107.03312: residual quantization, codebooks
    that k-means initializes, and the replacement of codes that are hardly used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.devices import find_device
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.loop import TrainingHistory, seeded, train_network
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.resuming import Stage, TrainingState
from distill_prior_gen.training.settings import VQVAESettings

UNQUANTIZED_SHARE = 0.2
"""Share of the epochs that train without the quantizer; then k-means initializes its codebooks."""

MAX_KMEANS_CHUNKS = 512
"""Maximum number of chunks whose embeddings k-means gets."""

NUM_RESOLUTIONS = 3
"""Number of resolutions of the loss, each half as fine as the one before."""

COMMITMENT_WEIGHT = 0.25

DEAD_CODE_THRESHOLD = 2
"""A code is replaced if its moving average of uses in a batch falls below this."""

MIN_UTILIZATION = 0.3
"""A level that uses a smaller share of its codes gets a warning."""


@dataclass(frozen=True, eq=False)
class TrainedVQVAE:
    """A trained VQ-VAE and how its training went.

    Attributes:
        vqvae: the network, in evaluation mode.
        settings: settings of the training.
        history: losses of each epoch. The training loss is `mel_loss` plus the commitment loss,
            the validation loss is `reconstruction_error`.
        health: dict with a dict for each level, ``level_0`` and so on. Its values are
            ``utilization``, the share of the codes that the training recordings use, from 0 to
            1; ``perplexity`` of the codes, from 1 to `codebook_size`; and the number of
            ``dead_codes``, which they do not use.
        warnings: sentences about problems of the model.
    """

    vqvae: VQVAE
    settings: VQVAESettings
    history: TrainingHistory
    health: dict[str, dict[str, float]]
    warnings: list[str]


def train_vqvae(
    dataset: Dataset,
    settings: VQVAESettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    state: TrainingState | None = None,
    initial: VQVAE | None = None,
) -> TrainedVQVAE:
    """Train a VQ-VAE on the recordings of a dataset.

    Ctrl-C ends the training early and keeps the best epoch so far. The same seed gives the same
    network on the same machine with the same number of threads; PyTorch's global random
    generators are left as they were.

    Args:
        dataset: result of `read_dataset`.
        settings: settings of the training; by default `VQVAESettings.for_files` of the number of
            files.
        device: name of the device to train on; see `load_model`.
        progress: called after each batch with the share that is done and the losses.
        state: where the state of the training is saved, and from which it goes on.
        initial: a network of the same sizes, whose weights and codes the training begins with.

    Raises:
        ValueError: if there is no such device.
        FloatingPointError: if a loss is not finite; the message says what to lower.
        MemoryError: if there is not enough memory; the message says what to lower.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
    """
    settings = settings or VQVAESettings.for_files(dataset.files)
    target = find_device(device)
    with defer_signals() as interruption, seeded(settings.seed, target) as generator:
        vqvae = _new_vqvae(settings).to(target)
        if initial:
            vqvae.load_state_dict(initial.state_dict())
        first_quantized = 0 if initial else int(UNQUANTIZED_SHARE * settings.epochs)
        training = _VQVAETraining(vqvae, dataset, settings, generator, first_quantized)
        history = train_network(
            vqvae,
            settings,
            training.batches,
            training.loss,
            training.validate,
            progress or no_progress,
            "VQ-VAE",
            stage=Stage(state, "VQ-VAE", generator) if state else None,
        )
        codes = encode(vqvae, dataset, dataset.cut(dataset.training))
        history.interrupted |= interruption.pending
    health = codebook_health(codes, settings.codebook_size)
    warnings = _utilization_warnings(health, settings.codebook_size)
    return TrainedVQVAE(vqvae, settings, history, health, warnings)


def _new_vqvae(settings: VQVAESettings) -> VQVAE:
    return VQVAE(
        settings.codebook_dim,
        settings.codebook_size,
        settings.levels,
        settings.dropout,
        decay=settings.decay,
        commitment_weight=COMMITMENT_WEIGHT,
        threshold_ema_dead_code=DEAD_CODE_THRESHOLD,
        kmeans_init=True,
        kmeans_iters=10,
    )


@dataclass(frozen=True)
class _VQVAETraining:
    """Batches, losses and validation of a VQ-VAE, for `train_network`."""

    vqvae: VQVAE
    dataset: Dataset
    settings: VQVAESettings
    generator: torch.Generator
    first_quantized_epoch: int

    @property
    def device(self) -> torch.device:
        return next(self.vqvae.parameters()).device

    def batches(self, epoch: int) -> list[list[Tensor]]:
        chunks = self.dataset.epoch(self.generator)
        order = torch.randperm(len(chunks), generator=self.generator)
        codebook = self.vqvae.quantizer.rvq.layers[0]._codebook
        if epoch == self.first_quantized_epoch and not codebook.initted:
            initial = [chunks[i] for i in order[:MAX_KMEANS_CHUNKS]]
            with torch.no_grad():  # the first input of the quantizer initializes its codebooks
                self.vqvae.encode(self.dataset.log_mels(initial).to(self.device))
        count = max(1, len(chunks) // self.settings.batch_size)
        return [[chunks[i] for i in part] for part in order.tensor_split(count)]

    def loss(self, epoch: int, batch: list[Tensor]) -> Tensor:
        mel = self.dataset.log_mels(batch).to(self.device)
        embeddings = self.vqvae.encoder(mel.unsqueeze(1))
        commitment = mel.new_zeros(())
        if epoch >= self.first_quantized_epoch:
            quantized, _, losses = self.vqvae.quantizer.rvq(embeddings.flatten(2).mT)
            embeddings = quantized.mT.reshape(embeddings.shape)
            commitment = losses.sum()
        return mel_loss(self.vqvae.decode(embeddings, *mel.shape[1:]), mel) + commitment

    def validate(self, epoch: int) -> float | None:
        if epoch < self.first_quantized_epoch:
            return None
        return reconstruction_error(self.vqvae, self.dataset, self.dataset.validation)


def mel_loss(mel: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of log-mels, averaged over several resolutions.

    Average pooling halves the resolution in time and frequency. Compare the multi-resolution
    STFT loss of Yamamoto et al. 2020, Parallel WaveGAN, arXiv 1910.11480.

    Args:
        mel: log-mels ``[batch, n_mels, frames]``.
        target: log-mels of the same shape.
    """
    loss = F.l1_loss(mel, target)
    for _ in range(NUM_RESOLUTIONS - 1):
        mel, target = F.avg_pool2d(mel, 2, ceil_mode=True), F.avg_pool2d(target, 2, ceil_mode=True)
        loss = loss + F.l1_loss(mel, target)
    return loss / NUM_RESOLUTIONS


@torch.no_grad()
def reconstruct(vqvae: VQVAE, mel: Tensor) -> Tensor:
    """Encode log-mels ``[batch, n_mels, frames]`` to codes and decode the codes to log-mels."""
    bands, frames = mel.shape[1:]
    codes = vqvae.encode(mel)
    return vqvae.decode(vqvae.codes_to_embeddings(codes, grid_shape(bands, frames)), bands, frames)


@torch.no_grad()
def reconstruction_error(vqvae: VQVAE, dataset: Dataset, recordings: Sequence[Recording]) -> float:
    """Mean absolute difference of the log-mels of recordings and of their reconstructions."""
    device, total, chunks = next(vqvae.parameters()).device, 0.0, dataset.cut(recordings)
    for part in dataset.mel_batches(chunks):
        mel = part.to(device)
        total += float((reconstruct(vqvae, mel) - mel).abs().mean()) * len(mel)
    return total / len(chunks)


@torch.no_grad()
def encode(vqvae: VQVAE, dataset: Dataset, chunks: Sequence[Tensor]) -> Tensor:
    """Codes of chunks from `Dataset.cut`, int64 ``[chunk, H * W, level]`` on the CPU."""
    device = next(vqvae.parameters()).device
    return torch.cat([vqvae.encode(m.to(device)).cpu() for m in dataset.mel_batches(chunks)])


def codebook_health(codes: Tensor, codebook_size: int) -> dict[str, dict[str, float]]:
    """How well each level's codebook is used by codes ``[..., level]``; see `TrainedVQVAE`."""
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


def _utilization_warnings(health: dict[str, dict[str, float]], codebook_size: int) -> list[str]:
    return [
        f"{level.replace('_', ' ')} uses {use['utilization']:.0%} of its codes; lower "
        f"codebook_size ({codebook_size})"
        for level, use in health.items()
        if use["utilization"] < MIN_UTILIZATION
    ]
