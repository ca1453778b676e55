"""What the commands that train have in common: options, notes and results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from distill_prior_gen.cli import options
from distill_prior_gen.config import Progress
from distill_prior_gen.messages import in_words
from distill_prior_gen.training.settings import TRAINING_LIMITS

if TYPE_CHECKING:
    from distill_prior_gen.networks.vqvae import VQVAE
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import Fit
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
            low, high = TRAINING_LIMITS[name]
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


def announce(dataset: Dataset, quiet: bool) -> None:
    """Say in one line what is trained on, held out and left out, and note copies in another."""
    from distill_prior_gen.training.data import named

    note("; ".join([_use(dataset), *left_out(dataset)]), quiet)
    if dataset.copies:
        groups = named(
            [" = ".join(group[:4]) + " ..." * (len(group) > 4) for group in dataset.copies]
        )
        note(f"the same sound, kept on one side: {'; '.join(groups)}", quiet)


def _use(dataset: Dataset) -> str:
    from distill_prior_gen.training.data import named

    held_out = []
    rate = dataset.spectrogram.sample_rate
    whole = {recording.name for recording in dataset.training}
    for recording in dataset.validation:
        start, end = (s / rate for s in (recording.start, recording.start + len(recording.samples)))
        part = f" from {start:.1f} to {end:.1f} s" if recording.name in whole else ""
        held_out.append(f"{recording.name}{part} ({end - start:.1f} s)")
    return (
        f"training on {dataset.duration(dataset.training):.1f} s of {len(whole)} files; held out "
        f"{dataset.duration(dataset.validation):.1f} s: {', '.join(named(held_out))}"
    )


def left_out(dataset: Dataset) -> list[str]:
    """What was left out and why, in one phrase; nothing if all was used."""
    from distill_prior_gen.training.data import named

    reasons = [f"{name} {reason}" for name, reason in dataset.skipped.items()]
    return [f"left out {len(reasons)}: {', '.join(named(reasons))}"] if reasons else []


def nothing_kept(ctx: click.Context, path: Path) -> NoReturn:
    """End the command that was interrupted before there was anything to keep."""
    click.echo(f"Interrupted before there was anything to keep; {path} was not written.", err=True)
    ctx.exit(options.INTERRUPTED)


def saved_elsewhere(wanted: Path, path: Path, failure: str) -> list[str]:
    return (
        [f"Error: {failure}; the model was saved as {path} instead of {wanted}"] if failure else []
    )


def draw_picture(
    path: Path, dataset: Dataset, vqvae: VQVAE, fits: dict[str, Fit], overwrite: bool
) -> list[str]:
    """Draw how a training went; a note if that fails, since the model is there all the same."""
    from distill_prior_gen.training.output import draw_training

    try:
        draw_training(path, dataset, vqvae, fits, overwrite)
    except Exception as error:
        return [f"Warning: the picture could not be drawn: {in_words(error)}"]
    return []


def report_result(
    dataset: Dataset,
    result: dict[str, Any],
    seed: int,
    start: float,
    notes: list[str],
    as_json: bool,
    quiet: bool,
) -> None:
    """Print notes on standard error, and the path or a description on standard output.

    Args:
        result: ``path`` and what else is known of the training.
        start: when it began, by `time.perf_counter`.
    """
    for text in notes:
        note(text, quiet and not text.startswith("Error"))
    if not as_json:
        click.echo(result["path"])
        return
    rate = dataset.spectrogram.sample_rate
    held_out = [
        {"name": r.name, "start": r.start / rate, "seconds": len(r.samples) / rate}
        for r in dataset.validation
    ]
    common = {
        "recordings": dataset.files,
        "recorded_seconds": round(dataset.seconds, 3),
        "validation": list(dict.fromkeys(r.name for r in dataset.validation)),
        "held_out": held_out,
        "copies": dataset.copies,
        "skipped": dataset.skipped,
        "seed": seed,
        "seconds": round(time.perf_counter() - start, 1),
    }
    click.echo(json.dumps(result | common, indent=2))


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
