"""The training loop that all networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from distill_prior_gen.config import Progress
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.resuming import Stage
from distill_prior_gen.training.settings import (
    PriorSettings,
    TimelineSettings,
    VocoderSettings,
    VQVAESettings,
)

Batch = TypeVar("Batch")

NetworkSettings = VQVAESettings | PriorSettings | TimelineSettings | VocoderSettings

WARM_UP_SHARE = 0.05
"""Share of the training in which the learning rate rises."""

MAX_GRADIENT_NORM = 1.0

OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory: you tried",
    "MPS backend out of memory",
    "could not create a primitive",
)
"""Messages of PyTorch's CPU and MPS allocators and of oneDNN, which raise a plain RuntimeError."""


@dataclass
class TrainingHistory:
    """Losses of a training and which epoch was kept.

    Attributes:
        epoch: number of the epoch that was kept, counted from 1.
        train_losses: training loss of each epoch.
        val_losses: validation loss of each epoch; None where there was no validation.
        interrupted: whether Ctrl-C ended the training.
    """

    epoch: int = 0
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float | None] = field(default_factory=list)
    interrupted: bool = False

    @property
    def val_loss(self) -> float:
        """Validation loss of the epoch that was kept."""
        loss = self.val_losses[self.epoch - 1]
        assert loss is not None
        return loss


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """Seed PyTorch's global generators for a block, and yield a separate seeded generator.

    The global generators are restored afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def train_network(
    network: nn.Module,
    settings: NetworkSettings,
    batches: Callable[[int], Sequence[Batch]],
    loss: Callable[[int, Batch], Tensor],
    validate: Callable[[int], float | None],
    progress: Progress,
    label: str,
    tolerance: float = 0.0,
    stage: Stage | None = None,
) -> TrainingHistory:
    """Train a network with AdamW and restore the weights of its best epoch.

    Afterwards the network is in evaluation mode and needs no gradients. If `stage` has saved
    something, the training goes on from there, as if it had never ended.

    Args:
        network: the network to train.
        settings: `epochs`, `learning_rate` and so on. If there is a `patience`, training stops
            after that many epochs without a lower validation loss.
        batches: function that returns the batches of an epoch, counted from 0.
        loss: function that returns the loss of an epoch's batch, a scalar tensor.
        validate: function that returns the loss on held-out data after an epoch, or None if the
            network is not yet worth keeping.
        progress: called after each batch.
        label: name of the network for messages.
        tolerance: by which share of the lowest validation loss the loss of the best epoch may
            exceed it. The latest epoch within it is the best; with 0, the one with the lowest
            loss.
        stage: where the state of the training is saved from time to time, and at the end. Its
            generator is the one that `batches` and `loss` use.

    Raises:
        FloatingPointError: if a loss is not finite.
        MemoryError: if there is not enough memory.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
        ValueError: if what `stage` has saved is not of this training.
    """
    trainer = _Trainer(network, settings, progress, label, tolerance, stage)
    with defer_signals() as interruption, _explained_memory(label, settings):
        try:
            with interruption.allowed():
                trainer.train(batches, loss, validate)
        except KeyboardInterrupt:
            if trainer.best is None:
                raise
            trainer.history.interrupted = True
        return trainer.restore_best()


def learning_rate_factor(done: float) -> float:
    """Factor of the learning rate after a share of the training, both from 0 to 1.

    Linear warm-up times cosine decay to 0 without restarts (Loshchilov and Hutter 2017, SGDR,
    arXiv 1608.03983).
    """
    return min(1.0, done / WARM_UP_SHARE) * (1 + math.cos(math.pi * done)) / 2


class _Trainer:
    """State of a training: the optimizer, the losses and the best epoch.

    Attributes:
        history: what `train_network` returns.
        best: validation loss and weights of the best epoch so far.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: NetworkSettings,
        progress: Progress,
        label: str,
        tolerance: float,
        stage: Stage | None,
    ) -> None:
        self.tolerance, self.stage = tolerance, stage
        self.network, self.settings = network, settings
        self.progress, self.label = progress, label
        self.history = TrainingHistory()
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.95),
        )

    def train(
        self,
        batches: Callable[[int], Sequence[Batch]],
        loss: Callable[[int, Batch], Tensor],
        validate: Callable[[int], float | None],
    ) -> None:
        """Train all epochs; see `train_network`."""
        stage = self.stage
        if stage and stage.saved:
            with stage.checked():
                self._restore_results(stage.saved)
        if stage and stage.finished:
            return
        for epoch in range(len(self.history.train_losses), self.settings.epochs):
            if stage:
                stage.begin_epoch()
            parts = batches(epoch)
            losses = stage.restore(self.network, self.optimizer) if stage else []
            train_loss = self._train_epoch(epoch, parts, loss, losses)
            self.network.eval()
            with torch.no_grad():
                val_loss = validate(epoch)
            done = self._record_epoch(epoch, train_loss, val_loss)
            if stage and stage.training.epoch_done:
                losses_so_far = self.history.train_losses, self.history.val_losses
                stage.training.epoch_done(self.label, *losses_so_far, self.network)
            if done:
                break
        if stage:
            stage.finish(self._results())

    def _train_epoch(
        self,
        epoch: int,
        batches: Sequence[Batch],
        loss: Callable[[int, Batch], Tensor],
        losses: list[float],
    ) -> float:
        """Train for one epoch and return the mean loss of its batches.

        Args:
            losses: losses of the batches that it has been trained on already.
        """
        self.network.train()
        for step in range(len(losses), len(batches)):
            # Epochs differ in their number of batches.
            done = (epoch + (step + 1) / len(batches)) / self.settings.epochs
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * learning_rate_factor(done)
            value = loss(epoch, batches[step])
            losses.append(self._check_finite(float(value.detach()), epoch))
            self.optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
            self.optimizer.step()
            self.progress(done, self._text)
            if self.stage and self.stage.training.due:
                self.stage.write(self.network, self.optimizer, losses, self._results())
        return sum(losses) / len(losses)

    @property
    def _text(self) -> str:
        """The losses of the last epoch, for `progress`."""
        history, label = self.history, self.label
        if not history.train_losses:
            return f"{label}..."
        place = f"{label} {len(history.train_losses)}/{self.settings.epochs}"
        text, val_loss = f"{place}, loss {history.train_losses[-1]:.3f}", history.val_losses[-1]
        return text if val_loss is None else f"{text}, validation {val_loss:.3f}"

    def _record_epoch(self, epoch: int, train_loss: float, val_loss: float | None) -> bool:
        """Record the losses of an epoch, and its weights if it is the best.

        Returns:
            Whether to stop, because the patience is used up.
        """
        self.history.train_losses.append(train_loss)
        self.history.val_losses.append(val_loss)
        if val_loss is None:
            return False
        self._check_finite(val_loss, epoch)
        losses = [loss for loss in self.history.val_losses if loss is not None]
        if self.tolerance == math.inf or val_loss <= (1 + self.tolerance) * min(losses):
            state = {name: t.clone() for name, t in self.network.state_dict().items()}
            self.best, self.history.epoch = (val_loss, state), epoch + 1
        patience = getattr(self.settings, "patience", self.settings.epochs)
        return epoch + 1 - self.history.epoch >= patience

    def _results(self) -> dict[str, Any]:
        """The losses, and the best epoch."""
        history = self.history
        return {
            "epoch": history.epoch,
            "train_losses": history.train_losses,
            "val_losses": history.val_losses,
            "best": self.best,
        }

    def _restore_results(self, saved: dict[str, Any]) -> None:
        """Continue from a result of `_results`."""
        best = saved["best"]
        self.best = best and (best[0], dict(best[1]))
        losses = list(saved["train_losses"]), list(saved["val_losses"])
        self.history = TrainingHistory(saved["epoch"], *losses)

    def restore_best(self) -> TrainingHistory:
        """Restore the weights of the best epoch."""
        assert self.best is not None
        self.network.load_state_dict(self.best[1])
        self.network.eval().requires_grad_(False)
        return self.history

    def _check_finite(self, loss: float, epoch: int) -> float:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss of the {self.label} is {loss} in epoch {epoch + 1}; lower "
                f"learning_rate ({self.settings.learning_rate:g})"
            )
        return loss


@contextmanager
def _explained_memory(label: str, settings: NetworkSettings) -> Iterator[None]:
    """Turn errors of memory into a MemoryError that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        by_type = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not by_type and not any(phrase in str(error) for phrase in OUT_OF_MEMORY):
            raise
        raise MemoryError(
            f"out of memory while training the {label}; lower batch_size ({settings.batch_size}) "
            "or the size of the model"
        ) from error
