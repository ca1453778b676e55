"""``distill-prior train-prior``: a prior for a model file that has a VQ-VAE."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar, shows_progress
from distill_prior_gen.cli.training_report import (
    PRIOR_OPTIONS,
    exit_without_model,
    fallback_notes,
    plot_or_note,
    print_dataset,
    prior_notes,
    prior_result,
    report_result,
    seed_option,
    setting_options,
)
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import check_space, reserve, save
from distill_prior_gen.training.settings import PriorSettings

if TYPE_CHECKING:
    from distill_prior_gen.checkpoint import Checkpoint
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.prior import TrainedPrior


@click.command("train-prior")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@setting_options(PRIOR_OPTIONS)
@seed_option("prior")
@options.device
@click.option("--force", is_flag=True, help="Replace a prior that MODEL has already.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the prior.")
@options.progress
@options.quiet
@click.pass_context
def train_prior(
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
    """Train a prior for MODEL on the recordings in FOLDER, and put it into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app. Everything
    else in it stays as it is. Next to it, NAME-prior.png shows how the training went. Ctrl-C
    ends the training early and keeps its best epoch.
    """
    show = shows_progress(progress, quiet)
    start = time.perf_counter()
    picture = model.with_name(f"{model.stem}-prior.png")
    with defer_signals() as interruption, reserve(model, picture):
        try:
            with interruption.allowed():
                checkpoint, dataset = _prepare(model, picture, folder, force, show, quiet)
                settings = PriorSettings.for_files(dataset.files, seed=seed, **given)
            from distill_prior_gen.training.prior import train_prior

            vqvae = checkpoint.build_vqvae()
            with progress_bar(show) as report:
                prior = train_prior(vqvae, dataset, settings, device, report)
        except KeyboardInterrupt:
            exit_without_model(ctx, model)
        path, failure = _save(checkpoint, prior)
        histories = {"prior, cross-entropy": prior.history}
        notes = [*prior_notes(prior), *plot_or_note(picture, dataset, vqvae, histories, force)]
        interrupted = prior.history.interrupted or interruption.pending
    notes += fallback_notes(model, path, failure)
    if interrupted:
        kept = "the best so far is kept" if prior.history.interrupted else "the prior is complete"
        notes.append(f"Interrupted: {kept}")
    result = {"path": str(path), "picture": str(picture), "prior": prior_result(prior)}
    report_result(dataset, result, seed, start, notes, as_json, quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(failure))


def _prepare(
    model: Path, picture: Path, folder: Path, force: bool, show: bool, quiet: bool
) -> tuple[Checkpoint, Dataset]:
    """Read the model and the recordings, and check that there is space on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.checkpoint import read_checkpoint
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import MAX_PICTURE_BYTES

        checkpoint = read_checkpoint(model)
        if checkpoint.prior_state is not None and not force:
            raise FileExistsError(f"{model} has a prior; add --force to replace it")
        if picture.exists() and not force:
            raise FileExistsError(f"{picture} exists; move it or add --force")
        dataset = read_dataset(folder, checkpoint.spectrogram, checkpoint.chunk_duration, report)
    check_space(model, 2 * model.stat().st_size + MAX_PICTURE_BYTES)
    print_dataset(dataset, quiet)
    return checkpoint, dataset


def _save(checkpoint: Checkpoint, prior: TrainedPrior) -> tuple[Path, str]:
    """Put the prior into the model file; if that fails, into a copy in another folder."""
    from distill_prior_gen.checkpoint.writing import unchanged_checkpoint, write_with_prior

    def write(path: Path, overwrite: bool) -> None:
        source = unchanged_checkpoint(path, checkpoint) if overwrite else checkpoint
        write_with_prior(path, source, prior.prior, prior.metadata, overwrite)

    return save(checkpoint.path, write, overwrite=True)
