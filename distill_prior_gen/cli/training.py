"""What the commands that train have in common: options, notes and results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.config import Progress
from distill_prior_gen.training.settings import LIMITS

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.vqvae import TrainedVQVAE

VQVAE_OPTIONS = {
    "codebook_size": "Codes a level.",
    "levels": "Levels of the residual quantizer.",
    "codebook_dim": "Length of a code's vector.",
    "dropout": "Share of the channels left out in training.",
    "decay": "Decay of the moving averages that the codes follow.",
    "epochs": "Passes over the recordings.",
    "batch_size": "Chunks a step.",
    "learning_rate": "Highest learning rate.",
    "weight_decay": "Weight decay.",
}

PRIOR_OPTIONS = {
    "hidden_size": "Width of the prior.",
    "layers": "Layers of the prior.",
    "heads": "Attention heads of the prior.",
    "dropout": "Share of the prior's activations left out in training.",
    "epochs": "Passes over the recordings, at most, for the prior.",
    "batch_size": "Chunks a step, for the prior.",
    "learning_rate": "Highest learning rate of the prior.",
    "weight_decay": "Weight decay of the prior.",
    "patience": "Epochs without a better prior before training stops.",
}

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def setting_options(helps: dict[str, str], prefix: str = "", prefixed: str = "") -> Decorator:
    """Options for settings, which the command gets as ``prefix + name``, None if not given.

    Args:
        helps: help text by setting.
        prefix: of the parameters, to tell two networks apart.
        prefixed: settings whose flags have the prefix too.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name, text in reversed(helps.items()):
            low, high = LIMITS[name]
            kind = click.FloatRange if isinstance(low, float) else click.IntRange
            flag = (prefix + name if name in prefixed.split() else name).replace("_", "-")
            command = click.option(f"--{flag}", prefix + name, type=kind(low, high), help=text)(
                command
            )
        return command

    return decorate


def share_of(report: Progress, start: float, end: float) -> Progress:
    """A `Progress` for a part of the work."""
    return lambda share, text: report(start + (end - start) * share, text)


def note(text: str, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)


def skipped_notes(dataset: Dataset) -> list[str]:
    return [f"skipped {name}: it {reason}" for name, reason in dataset.skipped.items()]


def vqvae_notes(trained: TrainedVQVAE) -> list[str]:
    levels = [
        f"{level.replace('_', ' ')}: {figures['utilization']:.0%} of the codes used, perplexity "
        f"{figures['perplexity']:.1f}, {figures['dead_codes']:.0f} dead"
        for level, figures in trained.health.items()
    ]
    kept = f"VQ-VAE: epoch {trained.fit.epoch} kept, mel error {trained.fit.val_loss:.3f}"
    return [kept, *levels, *(f"Warning: {text}" for text in trained.warnings)]


def prior_notes(trained: TrainedPrior) -> list[str]:
    kept = (
        f"prior: epoch {trained.fit.epoch} kept, perplexity {trained.perplexity:.2f} "
        f"({trained.code_perplexity:.1f} by the frequency of the codes alone)"
    )
    return [kept, *(f"Warning: {text}" for text in trained.warnings)]


def vqvae_result(trained: TrainedVQVAE) -> dict[str, Any]:
    return {
        "epochs": len(trained.fit.val_losses),
        "kept_epoch": trained.fit.epoch,
        "mel_error": trained.fit.val_loss,
        "health": trained.health,
        "interrupted": trained.fit.interrupted,
        "warnings": trained.warnings,
    }


def prior_result(trained: TrainedPrior) -> dict[str, Any]:
    return {
        "epochs": len(trained.fit.val_losses),
        "kept_epoch": trained.fit.epoch,
        "perplexity": trained.perplexity,
        "code_perplexity": trained.code_perplexity,
        "interrupted": trained.fit.interrupted,
        "warnings": trained.warnings,
    }


def refuse_existing(*paths: Path) -> None:
    """Raise FileExistsError if one of the paths is taken."""
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} exists; choose another name or add --force")
