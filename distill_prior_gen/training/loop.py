"""The training loop that both networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from distill_prior_gen.config import Progress
from distill_prior_gen.training.interrupts import put_off
from distill_prior_gen.training.settings import PriorSettings, VQVAESettings

Batch = TypeVar("Batch")

WARM_UP = 0.05
"""Share of the training in which the learning rate rises."""

MAX_GRADIENT_NORM = 1.0

OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory: you tried",
    "MPS backend out of memory",
)
"""What PyTorch says where it has no type for it: the allocators of the CPU and of MPS."""


@dataclass
class Fit:
    """How a training went.

    Attributes:
        epoch: that was kept, from 1; that of the lowest validation loss.
        train_losses, val_losses: by epoch; None where there was no validation.
        interrupted: whether Ctrl-C ended it.
    """

    epoch: int = 0
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float | None] = field(default_factory=list)
    interrupted: bool = False

    @property
    def val_loss(self) -> float:
        """Of the epoch that was kept."""
        loss = self.val_losses[self.epoch - 1]
        assert loss is not None
        return loss


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.Generator]:
    """PyTorch's global generators seeded, and set back afterwards; and a generator of one's own."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def fit(
    network: nn.Module,
    settings: VQVAESettings | PriorSettings,
    batches: Callable[[int], Sequence[Batch]],
    loss: Callable[[int, Batch], Tensor],
    validate: Callable[[int], float | None],
    progress: Progress,
    label: str,
) -> Fit:
    """Train a network with AdamW and leave it, in evaluation mode, as it was at its best.

    Args:
        network: to train.
        settings: `epochs`, `learning_rate` and so on; where they have `patience`, training
            stops after that many epochs without a lower validation loss.
        batches: gives the batches of an epoch, counted from 0.
        loss: of an epoch's batch.
        validate: gives the loss on what is held out, after an epoch; None if the network is
            not yet worth keeping.
        progress: called after each batch.
        label: of the network, for messages.

    Raises:
        FloatingPointError: if a loss is not finite.
        MemoryError: if there is not enough memory.
        KeyboardInterrupt: if Ctrl-C came before there was anything to keep.
    """
    fitting = _Fitting(network, settings, progress, label)
    with put_off() as interruption, _explained_memory(label, settings):
        try:
            with interruption.allowed():
                for epoch in range(settings.epochs):
                    train_loss = fitting.train(epoch, batches(epoch), loss)
                    network.eval()
                    with torch.no_grad():
                        val_loss = validate(epoch)
                    if fitting.keep(epoch, train_loss, val_loss):
                        break
        except KeyboardInterrupt:
            if fitting.best is None:
                raise
            fitting.result.interrupted = True
        return fitting.finish()


class _Fitting:
    """A training under way: the optimizer, the losses and the best epoch.

    Attributes:
        result: what `fit` returns.
        best: validation loss and weights of the best epoch so far.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: VQVAESettings | PriorSettings,
        progress: Progress,
        label: str,
    ) -> None:
        self.network, self.settings = network, settings
        self.progress, self.label, self.text = progress, label, f"{label}..."
        self.result = Fit()
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.95),
        )

    def train(
        self, epoch: int, batches: Sequence[Batch], loss: Callable[[int, Batch], Tensor]
    ) -> float:
        """Train for an epoch; the mean loss of its batches."""
        self.network.train()
        losses = []
        for index, batch in enumerate(batches):
            done = (epoch + (index + 1) / len(batches)) / self.settings.epochs
            rate = min(1.0, done / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * rate
            value = loss(epoch, batch)
            losses.append(self._finite(float(value.detach()), epoch))
            self.optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
            self.optimizer.step()
            self.progress(done, self.text)
        return sum(losses) / len(losses)

    def keep(self, epoch: int, train_loss: float, val_loss: float | None) -> bool:
        """Note the losses of an epoch, and its weights if it is the best; whether to stop."""
        self.result.train_losses.append(train_loss)
        self.result.val_losses.append(val_loss)
        self.text = f"{self.label} {epoch + 1}/{self.settings.epochs}, loss {train_loss:.3f}"
        if val_loss is None:
            return False
        self.text += f", validation {self._finite(val_loss, epoch):.3f}"
        if self.best is None or val_loss < self.best[0]:
            state = {name: t.clone() for name, t in self.network.state_dict().items()}
            self.best, self.result.epoch = (val_loss, state), epoch + 1
        patience = getattr(self.settings, "patience", self.settings.epochs)
        return epoch + 1 - self.result.epoch >= patience

    def finish(self) -> Fit:
        """Set the network back to its best epoch."""
        assert self.best is not None
        self.network.load_state_dict(self.best[1])
        self.network.eval().requires_grad_(False)
        return self.result

    def _finite(self, loss: float, epoch: int) -> float:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss of the {self.label} is {loss} in epoch {epoch + 1}; lower "
                f"learning_rate ({self.settings.learning_rate:g})"
            )
        return loss


@contextmanager
def _explained_memory(label: str, settings: VQVAESettings | PriorSettings) -> Iterator[None]:
    """Say what to lower when memory runs out."""
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
