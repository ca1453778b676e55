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
from distill_prior_gen.training.settings import PriorSettings, VQVAESettings

Batch = TypeVar("Batch")

WARM_UP = 0.05
"""Share of the training in which the learning rate rises."""

MAX_GRADIENT_NORM = 1.0


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
            stops after so many epochs without a lower validation loss.
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
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.95),
    )
    result = Fit()
    best: tuple[int, float, dict[str, Tensor]] | None = None
    text = f"{label}..."
    try:
        for epoch in range(settings.epochs):
            network.train()
            parts = batches(epoch)
            losses = []
            for index, batch in enumerate(parts):
                done = (epoch + (index + 1) / len(parts)) / settings.epochs
                rate = min(1.0, done / WARM_UP) * (1 + math.cos(math.pi * done)) / 2
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * rate
                value = loss(epoch, batch)
                losses.append(_finite(float(value.detach()), label, epoch, settings))
                optimizer.zero_grad()
                value.backward()
                nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
                optimizer.step()
                progress(done, text)
            result.train_losses.append(sum(losses) / len(losses))
            network.eval()
            with torch.no_grad():
                validation = validate(epoch)
            result.val_losses.append(validation)
            text = f"{label} {epoch + 1}/{settings.epochs}, loss {result.train_losses[-1]:.3f}"
            if validation is None:
                continue
            text += f", validation {_finite(validation, label, epoch, settings):.3f}"
            if best is None or validation < best[1]:
                state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
                best = (epoch, validation, state)
            elif epoch - best[0] >= getattr(settings, "patience", settings.epochs):
                break
    except KeyboardInterrupt:
        if best is None:
            raise
        result.interrupted = True
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise MemoryError(
            f"out of memory while training the {label}; lower batch_size ({settings.batch_size}) "
            "or the size of the model"
        ) from error
    assert best is not None
    result.epoch = best[0] + 1
    network.load_state_dict(best[2])
    network.eval().requires_grad_(False)
    return result


def _finite(loss: float, label: str, epoch: int, settings: VQVAESettings | PriorSettings) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss of the {label} is {loss} in epoch {epoch + 1}; lower learning_rate "
            f"({settings.learning_rate:g})"
        )
    return loss
