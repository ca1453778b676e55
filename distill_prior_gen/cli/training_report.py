"""Notes and results of the commands that train."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from distill_prior_gen.cli import options
from distill_prior_gen.messages import in_words

if TYPE_CHECKING:
    from distill_prior_gen.networks.vqvae import VQVAE
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import TrainingHistory
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.timeline import TrainedTimeline
    from distill_prior_gen.training.vocoder import TrainedVocoder
    from distill_prior_gen.training.vqvae import TrainedVQVAE

NETWORKS = {"prior": "prior", "timeline": "timeline prior", "vocoder": "vocoder"}
"""Networks that a command adds to a model file, and what messages call them."""


def print_note(text: str, quiet: bool) -> None:
    """Print a line on standard error, unless `quiet`."""
    if not quiet:
        click.echo(text, err=True)


def print_dataset(dataset: Dataset, quiet: bool) -> None:
    """Print a line about what is trained on, held out and skipped, and a line about copies."""
    from distill_prior_gen.training.data import abbreviate

    print_note("; ".join([_describe_split(dataset), *describe_skipped(dataset)]), quiet)
    if dataset.copies:
        groups = abbreviate(
            [" = ".join(group[:4]) + " ..." * (len(group) > 4) for group in dataset.copies]
        )
        print_note(f"the same sound, kept on one side: {'; '.join(groups)}", quiet)


def _describe_split(dataset: Dataset) -> str:
    from distill_prior_gen.training.data import abbreviate

    held_out = []
    rate = dataset.spectrogram.sample_rate
    trained_on = {recording.name for recording in dataset.training}
    for recording in dataset.validation:
        start, end = (s / rate for s in (recording.start, recording.start + len(recording.samples)))
        part = f" from {start:.1f} to {end:.1f} s" if recording.name in trained_on else ""
        held_out.append(f"{recording.name}{part} ({end - start:.1f} s)")
    return (
        f"training on {dataset.duration(dataset.training):.1f} s of {len(trained_on)} files; "
        f"held out {dataset.duration(dataset.validation):.1f} s: {', '.join(abbreviate(held_out))}"
    )


def describe_skipped(dataset: Dataset) -> list[str]:
    """A phrase about which files were left out and why, or nothing if all were used."""
    from distill_prior_gen.training.data import abbreviate

    reasons = [f"{name} {reason}" for name, reason in dataset.skipped_files.items()]
    return [f"left out {len(reasons)}: {', '.join(abbreviate(reasons))}"] if reasons else []


def exit_without_model(ctx: click.Context, path: Path) -> NoReturn:
    """End a command that was interrupted before there was anything to keep."""
    click.echo(f"Interrupted before there was anything to keep; {path} was not written.", err=True)
    ctx.exit(options.INTERRUPTED)


@contextmanager
def explain_failure(kept: str) -> Iterator[None]:
    """Add to the message of a training that fails what is kept of the model."""
    try:
        yield
    except (ArithmeticError, MemoryError, ValueError) as error:
        raise type(error)(f"{error}; {kept}") from error


def interruption_note(kept: str, missing: Sequence[str], model: Path, folder: Path) -> str:
    """A line about what Ctrl-C left, and the commands that train those `NETWORKS` it left out."""
    commands = [
        f"'distill-prior train-{network} {model} {folder}' trains a {NETWORKS[network]}"
        for network in missing
    ]
    return "; ".join([f"Interrupted: {kept}", *commands])


def fallback_notes(wanted: Path, path: Path, failure: str) -> list[str]:
    """A note that a model was saved as `path` instead of `wanted`, if there was a failure."""
    if not failure:
        return []
    return [f"Error: {failure}; the model was saved as {path} instead of {wanted}"]


def plot_or_note(
    path: Path,
    dataset: Dataset,
    vqvae: VQVAE,
    histories: dict[str, TrainingHistory],
    overwrite: bool,
) -> list[str]:
    """Plot a training; a note if that fails, because the model is saved nevertheless."""
    from distill_prior_gen.training.output import plot_training

    try:
        plot_training(path, dataset, vqvae, histories, overwrite)
    except Exception as error:
        return [f"Warning: the picture could not be drawn: {in_words(error)}"]
    return []


def card_or_note(path: Path, model: Path, picture: Path, overwrite: bool) -> list[str]:
    """Write the card of a model; a note if that fails, because the model is saved nevertheless."""
    from distill_prior_gen.atomic import atomic_write
    from distill_prior_gen.checkpoint.card import model_card
    from distill_prior_gen.checkpoint.description import describe_model

    try:
        card = model_card(describe_model(model), picture.name if picture.exists() else "")
        with atomic_write(path, overwrite) as partial:
            partial.write_text(card, encoding="utf-8")
    except Exception as error:
        return [f"Warning: the model card could not be written: {in_words(error)}"]
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
        dataset: recordings of the training.
        result: ``path`` of the model, and further entries of the description.
        seed: seed of the training.
        start: time at which the command began, from `time.perf_counter`.
        notes: lines for standard error.
        as_json: whether to print the description instead of the path.
        quiet: whether to print only those notes that are errors.
    """
    for text in notes:
        print_note(text, quiet and not text.startswith("Error"))
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
        "skipped_files": dataset.skipped_files,
        "seed": seed,
        "seconds": round(time.perf_counter() - start, 1),
    }
    click.echo(json.dumps(result | common, indent=2))


def vqvae_notes(trained: TrainedVQVAE) -> list[str]:
    """Lines about a trained VQ-VAE."""
    levels = [
        f"{level.replace('_', ' ')}: {use['utilization']:.0%} of the codes used, perplexity "
        f"{use['perplexity']:.1f}, {use['dead_codes']:.0f} dead"
        for level, use in trained.health.items()
    ]
    history = trained.history
    kept = f"VQ-VAE: epoch {history.epoch} kept, mel error {history.val_loss:.3f}"
    return [kept, *levels, *(f"Warning: {text}" for text in trained.warnings)]


def prior_notes(trained: TrainedPrior) -> list[str]:
    """Lines about a trained prior."""
    kept = (
        f"prior: epoch {trained.history.epoch} kept, perplexity {trained.perplexity:.2f} "
        f"({trained.code_perplexity:.1f} by the frequency of the codes alone)"
    )
    return [kept, *(f"Warning: {text}" for text in trained.warnings)]


def vqvae_result(trained: TrainedVQVAE) -> dict[str, Any]:
    """Description of a trained VQ-VAE for ``--json``."""
    return {
        "epochs": len(trained.history.val_losses),
        "kept_epoch": trained.history.epoch,
        "mel_error": trained.history.val_loss,
        "health": trained.health,
        "interrupted": trained.history.interrupted,
        "warnings": trained.warnings,
    }


def prior_result(trained: TrainedPrior) -> dict[str, Any]:
    """Description of a trained prior for ``--json``."""
    return {
        "epochs": len(trained.history.val_losses),
        "kept_epoch": trained.history.epoch,
        "perplexity": trained.perplexity,
        "code_perplexity": trained.code_perplexity,
        "interrupted": trained.history.interrupted,
        "warnings": trained.warnings,
    }


def timeline_notes(trained: TrainedTimeline) -> list[str]:
    """A line about a trained timeline prior."""
    description = trained.metadata
    return [
        f"timeline: {description['epochs_trained']} epochs, perplexity "
        f"{description['training_perplexity']:.2f} in training, "
        f"{description['held_out_perplexity']:.2f} for recordings that it has not heard"
    ]


def timeline_result(trained: TrainedTimeline) -> dict[str, Any]:
    """Description of a trained timeline prior for ``--json``."""
    return trained.metadata | {"interrupted": trained.history.interrupted}


def vocoder_notes(trained: TrainedVocoder, stored: bool) -> list[str]:
    """A line about a trained vocoder."""
    distances = (
        f"held-out recordings differ by {trained.distance:.2f} dB, with mel-griffin-lim by "
        f"{trained.reference_distance:.2f} dB"
    )
    if not stored:
        return [f"Error: the vocoder was not stored: {distances}; --keep stores it nevertheless"]
    return [f"vocoder: epoch {trained.history.epoch} kept, {distances}"]


def takes_notes(evaluation: dict[str, float]) -> list[str]:
    """A line about takes; see `measure_takes`."""
    return [
        f"takes: distance {evaluation['kernel']:.1f} from the recordings, 0 is alike and white "
        f"noise {evaluation['kernel_of_noise']:.1f}; {evaluation['copies']:.0%} of the chunks are "
        "copies"
    ]


def vocoder_result(trained: TrainedVocoder) -> dict[str, Any]:
    """Description of a trained vocoder for ``--json``."""
    return {
        "epochs": len(trained.history.val_losses),
        "kept_epoch": trained.history.epoch,
        "distance_db": trained.distance,
        "mel_griffin_lim_distance_db": trained.reference_distance,
        "interrupted": trained.history.interrupted,
    }


def refuse_existing(*paths: Path) -> None:
    """Raise FileExistsError if one of the paths exists."""
    for path in paths:
        if path.exists():
            raise FileExistsError(f"{path} exists; choose another name or add --force")
