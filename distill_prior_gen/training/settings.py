"""What models are trained with: fields, defaults by the number of recordings, and ranges."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Self

LIMITS: dict[str, tuple[Any, Any]] = {
    "codebook_size": (2, 4096),
    "levels": (1, 8),
    "codebook_dim": (1, 1024),
    "hidden_size": (1, 4096),
    "layers": (1, 48),
    "heads": (1, 64),
    "dropout": (0.0, 0.9),
    "decay": (0.0, 0.999),
    "epochs": (1, 10_000),
    "batch_size": (2, 1024),
    "learning_rate": (1e-6, 0.1),
    "weight_decay": (0.0, 1.0),
    "patience": (1, 10_000),
    "seed": (0, 2**63 - 1),
}
"""Smallest and largest value of each setting, both included."""

LARGE = 100
"""Networks are larger for more recordings than this."""


class _Settings:
    _large: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value, (low, high) = getattr(self, field.name), LIMITS[field.name]
            kind = Real if isinstance(low, float) else Integral
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                whole = "" if kind is Real else "a whole number "
                raise ValueError(f"{field.name} must be {whole}from {low} to {high}, not {value!r}")

    @classmethod
    def for_files(cls, files: int, **given: Any) -> Self:
        """The settings for so many recordings, but for those that are `given` and not None.

        Raises:
            ValueError: naming the field, its value and what it may be.
        """
        sizes = cls._large if files > LARGE else {}
        return cls(**sizes | {name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class VQVAESettings(_Settings):
    """Settings of a VQ-VAE and its training.

    Args:
        codebook_size: codes a level.
        levels: of the residual quantizer.
        codebook_dim: length of a code's vector.
        dropout: share of the channels that are left out in training.
        decay: of the moving averages that the codes follow.
        epochs: passes over the recordings.
        batch_size: chunks a step.
        learning_rate: at its highest; it rises for a twentieth of the epochs and then falls
            along a cosine.
        weight_decay: of AdamW.
        seed: the same seed gives the same model on the same machine.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    codebook_size: int = 64
    levels: int = 3
    codebook_dim: int = 128
    dropout: float = 0.1
    decay: float = 0.9
    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    seed: int = 0

    _large: ClassVar = {"codebook_size": 256, "decay": 0.95, "batch_size": 32}


@dataclass(frozen=True)
class PriorSettings(_Settings):
    """Settings of a prior and its training.

    Args:
        hidden_size, layers, heads: of the transformer; `heads` divides `hidden_size`.
        dropout: share of the activations that are left out in training.
        epochs: passes over the recordings, at most.
        batch_size: chunks a step.
        learning_rate, weight_decay, seed: see `VQVAESettings`.
        patience: epochs without a lower validation loss after which training stops.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    dropout: float = 0.1
    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    patience: int = 8
    seed: int = 0

    _large: ClassVar = {
        "hidden_size": 512,
        "layers": 6,
        "heads": 8,
        "batch_size": 32,
        "learning_rate": 1e-3,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.heads:
            raise ValueError(
                f"heads must divide hidden_size ({self.hidden_size}), not {self.heads}"
            )
