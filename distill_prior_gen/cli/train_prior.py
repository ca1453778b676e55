"""``distill-prior train-prior``: a prior for a model file that has a VQ-VAE."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.cli.train import INTERRUPTED
from distill_prior_gen.cli.training import (
    PRIOR_OPTIONS,
    note,
    prior_notes,
    prior_result,
    setting_options,
    share_of,
    skipped_notes,
)
from distill_prior_gen.training.settings import LIMITS, PriorSettings


@click.command("train-prior")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@setting_options(PRIOR_OPTIONS)
@click.option(
    "-s",
    "--seed",
    type=click.IntRange(*LIMITS["seed"]),
    default=0,
    show_default=True,
    help="The same seed gives the same prior on the same machine.",
)
@options.device
@click.option("--force", is_flag=True, help="Replace a prior that MODEL has already.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the prior.")
@options.progress
@options.quiet
@click.pass_context
def train_prior(
    ctx: click.Context,
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

    MODEL is a .distill file with a VQ-VAE, from here or from the Distill app; all else in it
    stays as it is. Beside it, NAME-prior.png shows how the training went. Ctrl-C ends the
    training early and keeps the best so far.
    """
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)
    start = time.perf_counter()
    picture = model.with_name(f"{model.stem}-prior.png")
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.checkpoint import read_checkpoint, replace_prior
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import draw_training
        from distill_prior_gen.training.prior import train_prior

        checkpoint = read_checkpoint(model)
        if checkpoint.prior_state is not None and not force:
            raise FileExistsError(f"{model} has a prior; add --force to replace it")
        if picture.exists() and not force:
            raise FileExistsError(f"{picture} exists; move it or add --force")
        chunk_duration = checkpoint.chunk_samples / checkpoint.spectrogram.sample_rate
        dataset = read_dataset(
            folder, checkpoint.spectrogram, chunk_duration, share_of(report, 0.0, 0.02)
        )
        settings = PriorSettings.for_files(len(dataset.recordings), seed=seed, **given)
        vqvae = checkpoint.build_vqvae()
        prior = train_prior(vqvae, dataset, settings, device, share_of(report, 0.02, 1.0))
        replace_prior(model, prior.prior, prior.metadata)
        draw_training(picture, dataset, vqvae, {"prior, cross-entropy": prior.fit}, force)
    notes = [*skipped_notes(dataset), *prior_notes(prior)]
    if prior.fit.interrupted:
        notes.append("Interrupted: the best so far is kept")
    for text in notes:
        note(text, quiet)
    if as_json:
        result = {
            "path": str(model),
            "picture": str(picture),
            "recordings": len(dataset.recordings),
            "validation": [recording.name for recording in dataset.validation],
            "skipped": dataset.skipped,
            "seed": seed,
            "seconds": round(time.perf_counter() - start, 1),
            "prior": prior_result(prior),
        }
        click.echo(json.dumps(result, indent=2))
    else:
        click.echo(str(model))
    if prior.fit.interrupted:
        ctx.exit(INTERRUPTED)
