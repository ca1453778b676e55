"""``distill-prior train-timeline``: a prior with a memory for a model file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar, shows_progress
from distill_prior_gen.cli.training_report import (
    exit_without_model,
    fallback_notes,
    print_dataset,
    report_result,
    seed_option,
    setting_options,
)
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import check_space, reserve, save
from distill_prior_gen.training.settings import TimelineSettings

TIMELINE_OPTIONS = {
    "width": "Width of the network, at most.",
    "layers": "Number of layers over columns of codes.",
    "column_layers": "Number of layers within a column.",
    "memory": "Number of earlier columns that a layer looks back at.",
    "dropout": "Fraction of the activations dropped in training.",
    "epochs": "Number of epochs of 25 steps.",
    "batch_size": "Number of windows of a training step.",
    "learning_rate": "Peak of the learning rate.",
    "weight_decay": "Weight decay.",
}

if TYPE_CHECKING:
    from distill_prior_gen.checkpoint import Checkpoint
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.timeline import TrainedTimeline


@click.command("train-timeline")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@setting_options(TIMELINE_OPTIONS)
@seed_option("timeline prior")
@options.device
@click.option("--force", is_flag=True, help="Replace a timeline prior that MODEL has already.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the network.")
@options.progress
@options.quiet
@click.pass_context
def train_timeline(
    ctx: click.Context,
    /,
    model: Path,
    folder: Path,
    seed: int,
    device: str,
    force: bool,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Train a timeline prior for MODEL on the recordings in FOLDER, and put it into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app, and FOLDER
    has the recordings that it was trained on. Everything else in the file stays as it is. The
    timeline prior remembers seconds of a take, so that it develops, and is used from then on.
    Ctrl-C ends the training early and keeps what was learned so far.
    """
    show = shows_progress(progress, quiet)
    start = time.perf_counter()
    with defer_signals() as interruption, reserve(model):
        try:
            with interruption.allowed():
                checkpoint, dataset = _prepare(model, folder, force, show, quiet)
                settings = TimelineSettings.for_files(dataset.files, seed=seed, **given)
            from distill_prior_gen.training.timeline import train_timeline

            with progress_bar(show) as report:
                timeline = train_timeline(
                    checkpoint.build_vqvae(), dataset, settings, device, report
                )
        except KeyboardInterrupt:
            exit_without_model(ctx, model)
        path, failure = _save(checkpoint, timeline)
        interrupted = timeline.history.interrupted or interruption.pending
    description = timeline.metadata | {"interrupted": timeline.history.interrupted}
    notes = [
        f"timeline: {description['epochs_trained']} epochs, perplexity "
        f"{description['training_perplexity']:.2f} in training, "
        f"{description['held_out_perplexity']:.2f} for recordings that it has not heard",
        *fallback_notes(model, path, failure),
    ]
    if interrupted:
        notes.append("Interrupted: what was learned so far is kept")
    result = {"path": str(path), "timeline": description}
    report_result(dataset, result, seed, start, notes, as_json, quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(failure))


def _prepare(
    model: Path, folder: Path, force: bool, show: bool, quiet: bool
) -> tuple[Checkpoint, Dataset]:
    """Read the model and the recordings, and check that there is space on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.checkpoint import read_checkpoint
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.timeline import MAX_FILE_BYTES

        checkpoint = read_checkpoint(model)
        if checkpoint.timeline_state is not None and not force:
            raise FileExistsError(f"{model} has a timeline prior; add --force to replace it")
        dataset = read_dataset(folder, checkpoint.spectrogram, checkpoint.chunk_duration, report)
    check_space(model, 2 * model.stat().st_size + MAX_FILE_BYTES)
    print_dataset(dataset, quiet)
    return checkpoint, dataset


def _save(checkpoint: Checkpoint, timeline: TrainedTimeline) -> tuple[Path, str]:
    """Put the timeline prior into the model file; if that fails, into a copy in another folder."""
    from distill_prior_gen.checkpoint.writing import unchanged_checkpoint, write_with_timeline

    def write(path: Path, overwrite: bool) -> None:
        source = unchanged_checkpoint(path, checkpoint) if overwrite else checkpoint
        write_with_timeline(path, source, timeline.network, timeline.metadata, overwrite)

    return save(checkpoint.path, write, overwrite=True)
