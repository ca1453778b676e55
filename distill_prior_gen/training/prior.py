"""Training the prior on the codes of a VQ-VAE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill_prior_gen.checkpoint import FIRST_TOKEN_COUNTS
from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.model import find_device
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.interrupts import put_off
from distill_prior_gen.training.loop import Fit, fit, seeded
from distill_prior_gen.training.settings import PriorSettings
from distill_prior_gen.training.vqvae import codebook_health, encode

PASSES = 16
"""Most times that the recordings are cut, each time elsewhere, and encoded; epochs take turns."""

ENOUGH_CHUNKS = 2000
"""Recordings with so many chunks are not cut another time."""

EMBEDDING_SCALE = 0.02

MEMORIZED = {20: 2.0, 100: 3.0, math.inf: 5.0}
"""Validation perplexity below which a prior has learnt so many recordings, at most, by heart."""

PARTED = 3.0
"""Validation perplexity by that of the training at which they have parted ways."""


@dataclass(frozen=True, eq=False)
class TrainedPrior:
    """A prior and how its training went.

    Attributes:
        prior: in evaluation mode.
        settings: of the training.
        fit: losses by epoch, mean cross-entropy in nats.
        perplexity: of the validation at the epoch that was kept.
        code_perplexity: what it would be if each level's codes were drawn by their
            frequency in the validation alone: the geometric mean of the levels' perplexities.
        first_token_counts: how often each code begins a chunk, ``[codebook_size]``.
        warnings: what to know of it.
    """

    prior: Prior
    settings: PriorSettings
    fit: Fit
    perplexity: float
    code_perplexity: float
    first_token_counts: list[int]
    warnings: list[str]

    @property
    def metadata(self) -> dict[str, Any]:
        """For the ``prior_metadata`` of a model file."""
        last = next(loss for loss in reversed(self.fit.val_losses) if loss is not None)
        return {
            "epochs_trained": len(self.fit.val_losses),
            "final_perplexity": math.exp(last),
            "best_perplexity": self.perplexity,
            "code_perplexity": self.code_perplexity,
            "training_date": datetime.now(UTC).isoformat(),
            FIRST_TOKEN_COUNTS: self.first_token_counts,
            "train_losses": self.fit.train_losses,
            "val_losses": self.fit.val_losses,
        }


def train_prior(
    vqvae: VQVAE,
    dataset: Dataset,
    settings: PriorSettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> TrainedPrior:
    """Train a prior on the codes that a VQ-VAE gives the recordings of a dataset.

    Ctrl-C ends the training early and keeps the best epoch so far.

    Args:
        vqvae: in evaluation mode; it is moved to `device`.
        dataset: from `read_dataset`, with the spectrogram settings of the VQ-VAE.
        settings: by default those for so many recordings.
        device: see `load_model`.
        progress: called with the share that is done and the losses.

    Raises:
        ValueError: if there is no such device.
        FloatingPointError, MemoryError: saying what to lower.
    """
    settings = settings or PriorSettings.for_files(dataset.files)
    progress = progress or no_progress
    target = find_device(device)
    vqvae.to(target)
    rvq = vqvae.quantizer.rvq
    with put_off() as interruption, seeded(settings.seed, target) as generator:
        with interruption.allowed():
            progress(0.0, "Encoding...")
            held_out = encode(vqvae, dataset, dataset.cut(dataset.validation))
            passes = _passes(vqvae, dataset, settings, generator)
        size = (rvq.codebook_size, passes[0].shape[1], rvq.num_quantizers)
        prior = _new_prior(size, settings).to(target)

        def batches(epoch: int) -> tuple[Tensor, ...]:
            tokens = passes[epoch % len(passes)]
            order = torch.randperm(len(tokens), generator=generator)
            return tokens[order].tensor_split(max(1, len(tokens) // settings.batch_size))

        def loss(epoch: int, tokens: Tensor) -> Tensor:
            return cross_entropy(prior, tokens)

        def validate(epoch: int) -> float:
            parts = held_out.flatten(1).split(settings.batch_size)
            return sum(float(cross_entropy(prior, p)) * len(p) for p in parts) / len(held_out)

        result = fit(prior, settings, batches, loss, validate, progress, "prior")
        result.interrupted |= interruption.came
    health = codebook_health(held_out, rvq.codebook_size).values()
    counts = torch.bincount(torch.cat(passes)[:, 0], minlength=rvq.codebook_size)
    return TrainedPrior(
        prior=prior,
        settings=settings,
        fit=result,
        perplexity=math.exp(result.val_loss),
        code_perplexity=math.prod(level["perplexity"] for level in health) ** (1 / len(health)),
        first_token_counts=counts.tolist(),
        warnings=memorizing(result, dataset.files),
    )


def _passes(
    vqvae: VQVAE, dataset: Dataset, settings: PriorSettings, generator: torch.Generator
) -> list[Tensor]:
    """Codes of the recordings, ``[chunk, token]``, each time cut elsewhere."""
    passes: list[Tensor] = []
    while not passes or (
        len(passes) < min(PASSES, settings.epochs) and sum(map(len, passes)) < ENOUGH_CHUNKS
    ):
        passes.append(encode(vqvae, dataset, dataset.epoch(generator)).flatten(1))
    return passes


def _new_prior(size: tuple[int, int, int], settings: PriorSettings) -> Prior:
    """A prior to train, for a codebook size, number of tokens and number of levels."""
    prior = Prior(*size, settings.hidden_size, settings.layers, settings.heads, settings.dropout)
    for embedding in (prior.token_emb, prior.pos_emb, prior.level_emb):
        nn.init.normal_(embedding.weight, std=EMBEDDING_SCALE)
    return prior


def cross_entropy(prior: Prior, tokens: Tensor) -> Tensor:
    """Mean loss, in nats, of each token of ``[batch, token]`` after those before it."""
    tokens = tokens.to(prior.head.weight.device)
    logits = prior(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def memorizing(result: Fit, files: int) -> list[str]:
    """Warnings if a prior seems to have learnt its recordings by heart."""
    warnings = []
    perplexity = math.exp(result.val_loss)
    limit = next(limit for most, limit in MEMORIZED.items() if files <= most)
    if perplexity < limit:
        warnings.append(
            f"the prior has learnt the recordings by heart: its validation perplexity is "
            f"{perplexity:.1f}, below {limit:g} for {files} recordings; lower hidden_size or "
            "layers, or add recordings"
        )
    training = math.exp(result.train_losses[result.epoch - 1])
    if perplexity > PARTED * training:
        warnings.append(
            f"training and validation part ways: perplexity {training:.1f} against "
            f"{perplexity:.1f} in epoch {result.epoch}, the one that is kept; lower hidden_size "
            "or layers, raise dropout, or add recordings"
        )
    return warnings
