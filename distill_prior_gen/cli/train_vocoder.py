"""``distill-prior train-vocoder``: a vocoder for a model file, trained on its recordings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar, shows_progress
from distill_prior_gen.cli.training_report import (
    VOCODER_OPTIONS,
    exit_without_model,
    fallback_notes,
    print_dataset,
    report_result,
    seed_option,
    setting_options,
    vocoder_notes,
    vocoder_result,
)
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import check_space, reserve, save
from distill_prior_gen.training.settings import VocoderSettings

if TYPE_CHECKING:
    from distill_prior_gen.checkpoint import Checkpoint
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.vocoder import TrainedVocoder


@click.command("train-vocoder")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@setting_options(VOCODER_OPTIONS)
@seed_option("vocoder")
@options.device
@click.option("--keep", is_flag=True, help="Store the vocoder even if mel-griffin-lim is closer.")
@click.option("--force", is_flag=True, help="Replace a vocoder that MODEL has already.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the vocoder.")
@options.progress
@options.quiet
@click.pass_context
def train_vocoder(
    ctx: click.Context,
    /,
    model: Path,
    folder: Path,
    seed: int,
    device: str,
    keep: bool,
    force: bool,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Train a vocoder for MODEL on the recordings in FOLDER, and put it into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app, and FOLDER
    has the recordings that it was trained on. Everything else in the file stays as it is.
    Recordings that are held out tell whether takes will come closer to them than with
    mel-griffin-lim; if not, nothing is stored. Ctrl-C ends the training early and keeps its best
    epoch.
    """
    show = shows_progress(progress, quiet)
    start = time.perf_counter()
    with defer_signals() as interruption, reserve(model):
        try:
            with interruption.allowed():
                checkpoint, dataset = _prepare(model, folder, force, show, quiet)
                settings = VocoderSettings.for_files(dataset.files, seed=seed, **given)
            from distill_prior_gen.training.vocoder import train_vocoder

            with progress_bar(show) as report:
                vocoder = train_vocoder(checkpoint.build_vqvae(), dataset, settings, device, report)
        except KeyboardInterrupt:
            exit_without_model(ctx, model)
        path, failure, stored = model, "", vocoder.better or keep
        if stored:
            path, failure = _save(checkpoint, vocoder)
        interrupted = vocoder.history.interrupted or interruption.pending
    notes = [*vocoder_notes(vocoder, stored), *fallback_notes(model, path, failure)]
    if interrupted:
        notes.append("Interrupted: the best so far is kept")
    result = {"path": str(path), "stored": stored, "vocoder": vocoder_result(vocoder)}
    report_result(dataset, result, seed, start, notes, as_json, quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(failure) or not stored)


def _prepare(
    model: Path, folder: Path, force: bool, show: bool, quiet: bool
) -> tuple[Checkpoint, Dataset]:
    """Read the model and the recordings, and check that there is space on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.checkpoint import read_checkpoint
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.vocoder import MAX_FILE_BYTES

        checkpoint = read_checkpoint(model)
        if checkpoint.vocoder_state is not None and not force:
            raise FileExistsError(f"{model} has a vocoder; add --force to replace it")
        dataset = read_dataset(folder, checkpoint.spectrogram, checkpoint.chunk_duration, report)
    check_space(model, 2 * model.stat().st_size + MAX_FILE_BYTES)
    print_dataset(dataset, quiet)
    return checkpoint, dataset


def _save(checkpoint: Checkpoint, vocoder: TrainedVocoder) -> tuple[Path, str]:
    """Put the vocoder into the model file; if that fails, into a copy in another folder."""
    from distill_prior_gen.checkpoint.writing import unchanged_checkpoint, write_with_vocoder

    def write(path: Path, overwrite: bool) -> None:
        source = unchanged_checkpoint(path, checkpoint) if overwrite else checkpoint
        write_with_vocoder(path, source, vocoder.network, vocoder.metadata, overwrite)

    return save(checkpoint.path, write, overwrite=True)
