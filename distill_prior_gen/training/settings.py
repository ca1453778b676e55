"""Settings of training: fields, ranges, and defaults that depend on the number of recordings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from distill_prior_gen.validation import check_number

TRAINING_LIMITS: dict[str, tuple[Any, Any]] = {
    "codebook_size": (2, 4096),
    "levels": (1, 8),
    "codebook_dim": (1, 1024),
    "width": (8, 1024),
    "blocks": (1, 32),
    "hidden_size": (1, 4096),
    "layers": (1, 48),
    "column_layers": (1, 48),
    "memory": (1, 1024),
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

LARGE_DATASET = 100
"""Number of recordings above which the networks are larger."""


class _Settings:
    _large: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            low, high = TRAINING_LIMITS[field.name]
            whole = isinstance(low, int)
            check_number(field.name, getattr(self, field.name), low, high, whole)

    @classmethod
    def for_files(cls, files: int, **given: Any) -> Self:
        """The default settings for a number of recordings, with those that are given.

        Args:
            files: number of recordings.
            given: fields that replace the defaults unless they are None.

        Raises:
            ValueError: naming the field, its value and what it may be.
        """
        sizes = cls._large if files > LARGE_DATASET else {}
        return cls(**sizes | {name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class VQVAESettings(_Settings):
    """Settings of a VQ-VAE and its training.

    Args:
        codebook_size: number of codes of each level.
        levels: number of levels of the residual quantizer.
        codebook_dim: length of a code's vector.
        dropout: fraction of the channels that are dropped in training.
        decay: decay of the moving averages that the codes follow.
        epochs: number of passes over the recordings.
        batch_size: number of chunks of a training step.
        learning_rate: peak of the learning rate, which rises linearly for a twentieth of the epochs
            and then falls along a cosine.
        weight_decay: weight decay of AdamW.
        seed: seed of all random numbers; the same one gives the same model on the same machine.

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
        hidden_size: width of the transformer.
        layers: number of its blocks.
        heads: number of its attention heads, which divides `hidden_size`.
        dropout: fraction of the activations that are dropped in training.
        epochs: largest number of passes over the recordings.
        batch_size, learning_rate, weight_decay, seed: see `VQVAESettings`.
        patience: number of epochs without a lower validation loss after which training stops.

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


@dataclass(frozen=True)
class TimelineSettings(_Settings):
    """Settings of a timeline prior and its training.

    Args:
        width: largest width of the transformers. They are narrower if there are too many codes for
            a network of at most 4 MB.
        layers: number of blocks over columns.
        column_layers: number of blocks within a column.
        memory: number of earlier columns that each block attends to.
        dropout: fraction of the activations that are dropped in training.
        epochs: number of epochs, of 25 steps each.
        batch_size: number of windows of a training step.
        learning_rate, weight_decay, seed: see `VQVAESettings`.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    width: int = 128
    layers: int = 3
    column_layers: int = 1
    memory: int = 32
    dropout: float = 0.1
    epochs: int = 24
    batch_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    seed: int = 0

    _large: ClassVar = {"epochs": 72}


@dataclass(frozen=True)
class VocoderSettings(_Settings):
    """Settings of a vocoder and its training.

    Args:
        width: number of channels between the blocks of the network, at most; it is lower where
            spectra are so large that the network would have too many weights.
        blocks: number of blocks.
        epochs: largest number of epochs, of 50 steps each.
        batch_size: number of segments of a training step.
        learning_rate, weight_decay, seed: see `VQVAESettings`.
        patience: number of epochs without a lower validation loss after which training stops.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    width: int = 192
    blocks: int = 4
    epochs: int = 22
    batch_size: int = 12
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.01
    patience: int = 8
    seed: int = 0

    _large: ClassVar = {"epochs": 66}
