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
from distill_prior_gen.devices import find_device
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.loop import TrainingHistory, seeded, train_network
from distill_prior_gen.training.resuming import Stage, TrainingState
from distill_prior_gen.training.settings import PriorSettings
from distill_prior_gen.training.vqvae import codebook_health, encode

MAX_RECHUNKINGS = 16
"""Maximum number of random re-chunkings that are encoded in advance; epochs cycle through them."""

MIN_CHUNKS = 2000
"""No further re-chunking is encoded once there are this many chunks."""

EMBEDDING_STD = 0.02
"""Standard deviation of the initial embeddings."""

MEMORIZED_PERPLEXITY = {20: 2.0, 100: 3.0, math.inf: 5.0}
"""A lower validation perplexity is a sign of memorization: ``{maximum number of files: value}``."""

OVERFIT_RATIO = 3.0
"""A higher ratio of validation perplexity to training perplexity is a sign of overfitting."""


@dataclass(frozen=True, eq=False)
class TrainedPrior:
    """A trained prior and how its training went.

    Attributes:
        prior: the network, in evaluation mode.
        settings: settings of the training.
        history: losses of each epoch, mean cross-entropy in nats.
        perplexity: validation perplexity of the epoch that was kept: the exponential of its
            loss, from 1 for perfect prediction to about `codebook_size` for none.
        code_perplexity: perplexity of a model that knows only the frequencies of each level's
            codes in the validation: the geometric mean of the levels' perplexities.
        first_token_counts: number of chunks that begin with each code, ``[codebook_size]``.
        warnings: sentences about problems of the model.
    """

    prior: Prior
    settings: PriorSettings
    history: TrainingHistory
    perplexity: float
    code_perplexity: float
    first_token_counts: list[int]
    warnings: list[str]

    @property
    def metadata(self) -> dict[str, Any]:
        """Contents of ``prior_metadata`` in a model file."""
        last = next(loss for loss in reversed(self.history.val_losses) if loss is not None)
        return {
            "epochs_trained": len(self.history.val_losses),
            "final_perplexity": math.exp(last),
            "best_perplexity": self.perplexity,
            "code_perplexity": self.code_perplexity,
            "training_date": datetime.now(UTC).isoformat(),
            FIRST_TOKEN_COUNTS: self.first_token_counts,
            "train_losses": self.history.train_losses,
            "val_losses": self.history.val_losses,
        }


def train_prior(
    vqvae: VQVAE,
    dataset: Dataset,
    settings: PriorSettings | None = None,
    device: str | torch.device = "auto",
    progress: Progress | None = None,
    state: TrainingState | None = None,
    initial: Prior | None = None,
) -> TrainedPrior:
    """Train a prior on the codes that a VQ-VAE gives the recordings of a dataset.

    Ctrl-C ends the training early and keeps the best epoch so far. The same seed gives the same
    network on the same machine with the same number of threads; PyTorch's global random
    generators are left as they were.

    Args:
        vqvae: trained network in evaluation mode; it is moved to `device`.
        dataset: result of `read_dataset` with the spectrogram settings of the VQ-VAE.
        settings: settings of the training; by default `PriorSettings.for_files` of the number of
            files.
        device: name of the device to train on; see `load_model`.
        progress: called after each batch with the share that is done and the losses.
        state: where the state of the training is saved, and from which it goes on.
        initial: a prior of the same sizes, whose weights the training begins with.

    Raises:
        ValueError: if there is no such device.
        FloatingPointError: if a loss is not finite; the message says what to lower.
        MemoryError: if there is not enough memory; the message says what to lower.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
    """
    settings = settings or PriorSettings.for_files(dataset.files)
    progress = progress or no_progress
    target = find_device(device)
    vqvae.to(target)
    with defer_signals() as interruption, seeded(settings.seed, target) as generator:
        with interruption.allowed():
            progress(0.0, "Encoding...")
            held_out = encode(vqvae, dataset, dataset.cut(dataset.validation))
            rechunkings = _encode_rechunkings(vqvae, dataset, settings, generator)
        prior = _new_prior(vqvae, rechunkings[0].shape[1], settings, initial).to(target)
        training = _PriorTraining(prior, rechunkings, held_out.flatten(1), settings, generator)
        history = train_network(
            prior,
            settings,
            training.batches,
            training.loss,
            training.validate,
            progress,
            "prior",
            stage=Stage(state, "prior", generator) if state else None,
        )
        history.interrupted |= interruption.pending
    return _describe(training, history, held_out, dataset.files)


def _describe(
    training: _PriorTraining, history: TrainingHistory, held_out: Tensor, files: int
) -> TrainedPrior:
    """The trained prior, with figures.

    Args:
        held_out: codes to validate on, ``[chunk, position, level]``.
    """
    prior = training.prior
    health = codebook_health(held_out, prior.codebook_size).values()
    first_tokens = torch.cat(training.rechunkings)[:, 0]
    return TrainedPrior(
        prior=prior,
        settings=training.settings,
        history=history,
        perplexity=math.exp(history.val_loss),
        code_perplexity=math.prod(level["perplexity"] for level in health) ** (1 / len(health)),
        first_token_counts=torch.bincount(first_tokens, minlength=prior.codebook_size).tolist(),
        warnings=overfitting_warnings(history, files),
    )


def _encode_rechunkings(
    vqvae: VQVAE, dataset: Dataset, settings: PriorSettings, generator: torch.Generator
) -> list[Tensor]:
    """Tokens ``[chunk, token]`` of the recordings, for each of several random re-chunkings."""
    rechunkings: list[Tensor] = []
    while not rechunkings or (
        len(rechunkings) < min(MAX_RECHUNKINGS, settings.epochs)
        and sum(map(len, rechunkings)) < MIN_CHUNKS
    ):
        rechunkings.append(encode(vqvae, dataset, dataset.epoch(generator)).flatten(1))
    return rechunkings


def _new_prior(vqvae: VQVAE, seq_len: int, settings: PriorSettings, initial: Prior | None) -> Prior:
    rvq = vqvae.quantizer.rvq
    prior = Prior(
        rvq.codebook_size,
        seq_len,
        rvq.num_quantizers,
        settings.hidden_size,
        settings.layers,
        settings.heads,
        settings.dropout,
    )
    for embedding in (prior.token_emb, prior.pos_emb, prior.level_emb):
        nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
    if initial:
        prior.load_state_dict(initial.state_dict())
    return prior


@dataclass(frozen=True)
class _PriorTraining:
    """Batches, losses and validation of a prior, for `train_network`.

    Attributes:
        rechunkings: tokens to train on, ``[chunk, token]`` each.
        held_out: tokens to validate on, ``[chunk, token]``.
    """

    prior: Prior
    rechunkings: list[Tensor]
    held_out: Tensor
    settings: PriorSettings
    generator: torch.Generator

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        tokens = self.rechunkings[epoch % len(self.rechunkings)]
        order = torch.randperm(len(tokens), generator=self.generator)
        return tokens[order].tensor_split(max(1, len(tokens) // self.settings.batch_size))

    def loss(self, epoch: int, tokens: Tensor) -> Tensor:
        return cross_entropy(self.prior, tokens)

    def validate(self, epoch: int) -> float:
        parts = self.held_out.split(self.settings.batch_size)
        total = sum(float(cross_entropy(self.prior, part)) * len(part) for part in parts)
        return total / len(self.held_out)


def cross_entropy(prior: Prior, tokens: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of all tokens but the first of each chunk.

    Args:
        prior: network that predicts each token from those before it.
        tokens: int64 ``[batch, token]`` on any device.
    """
    tokens = tokens.to(prior.head.weight.device)
    logits = prior(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def overfitting_warnings(history: TrainingHistory, files: int) -> list[str]:
    """Warnings if a prior seems to have memorized its recordings.

    Args:
        history: losses of the training.
        files: number of files that it was trained on.
    """
    warnings = []
    perplexity = math.exp(history.val_loss)
    limit = next(limit for max_files, limit in MEMORIZED_PERPLEXITY.items() if files <= max_files)
    if perplexity < limit:
        warnings.append(
            f"the prior has memorized the recordings: its validation perplexity is "
            f"{perplexity:.1f}, below {limit:g} for {files} recordings; lower hidden_size or "
            "layers, or add recordings"
        )
    training = math.exp(history.train_losses[history.epoch - 1])
    if perplexity > OVERFIT_RATIO * training:
        warnings.append(
            f"training and validation diverge: perplexity {training:.1f} against "
            f"{perplexity:.1f} in epoch {history.epoch}, the one that is kept; lower hidden_size "
            "or layers, raise dropout, or add recordings"
        )
    return warnings
