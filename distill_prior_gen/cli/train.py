"""``distill-prior train``: a model file from a folder of recordings."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.cli.training import (
    PRIOR_OPTIONS,
    VQVAE_OPTIONS,
    note,
    prior_notes,
    prior_result,
    refuse_existing,
    setting_options,
    share_of,
    skipped_notes,
    vqvae_notes,
    vqvae_result,
)
from distill_prior_gen.training.settings import LIMITS, PriorSettings, VQVAESettings

INTERRUPTED = 130


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Model file to write, ending in .distill.",
)
@setting_options(VQVAE_OPTIONS)
@setting_options(PRIOR_OPTIONS, "prior_", "dropout epochs batch_size learning_rate weight_decay")
@click.option(
    "-s",
    "--seed",
    type=click.IntRange(*LIMITS["seed"]),
    default=0,
    show_default=True,
    help="The same seed gives the same model on the same machine.",
)
@options.device
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the model.")
@options.progress
@options.quiet
@click.pass_context
def train(
    ctx: click.Context,
    folder: Path,
    output: Path,
    seed: int,
    device: str,
    force: bool,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Train a model on the recordings in FOLDER: 5 to 500 sound files.

    First the VQ-VAE, then the prior on its codes. Sizes that are not given follow the number
    of recordings. Beside the model, NAME.png shows how the training went. Ctrl-C ends a
    stage early and keeps the best so far.
    """
    if output.suffix != ".distill":
        raise click.UsageError(f"--output must end in .distill, not {output.name}")
    picture = output.with_suffix(".png")
    if not force:
        refuse_existing(output, picture)
    of_prior = {k.removeprefix("prior_"): v for k, v in given.items() if k.startswith("prior_")}
    of_vqvae = {k: v for k, v in given.items() if not k.startswith("prior_")}
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)
    start = time.perf_counter()
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.checkpoint import replace_prior
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import draw_training, save_model
        from distill_prior_gen.training.prior import train_prior
        from distill_prior_gen.training.vqvae import train_vqvae

        dataset = read_dataset(folder, progress=share_of(report, 0.0, 0.02))
        files = len(dataset.recordings)
        vqvae_settings = VQVAESettings.for_files(files, seed=seed, **of_vqvae)
        prior_settings = PriorSettings.for_files(files, seed=seed, **of_prior)
        vqvae = train_vqvae(dataset, vqvae_settings, device, share_of(report, 0.02, 0.35))
        fits = {"VQ-VAE, mel error": vqvae.fit}
        output.parent.mkdir(parents=True, exist_ok=True)
        save_model(output, dataset, vqvae, overwrite=force)
        prior = None
        if not vqvae.fit.interrupted:
            try:
                prior = train_prior(
                    vqvae.vqvae, dataset, prior_settings, device, share_of(report, 0.35, 1.0)
                )
            except KeyboardInterrupt:
                pass
            else:
                replace_prior(output, prior.prior, prior.metadata)
                fits["prior, cross-entropy"] = prior.fit
        draw_training(picture, dataset, vqvae.vqvae, fits, overwrite=force)
    interrupted = prior is None or prior.fit.interrupted
    notes = [*skipped_notes(dataset), *vqvae_notes(vqvae), *(prior_notes(prior) if prior else [])]
    if interrupted:
        kept = "the best so far is kept" if prior else "the VQ-VAE is kept, without a prior"
        notes.append(
            f"Interrupted: {kept}; 'distill-prior train-prior {output} {folder}' trains a prior"
        )
    for text in notes:
        note(text, quiet)
    if as_json:
        result = {
            "path": str(output),
            "picture": str(picture),
            "recordings": files,
            "validation": [recording.name for recording in dataset.validation],
            "skipped": dataset.skipped,
            "seed": seed,
            "seconds": round(time.perf_counter() - start, 1),
            "vqvae": vqvae_result(vqvae),
            "prior": prior_result(prior) if prior else None,
        }
        click.echo(json.dumps(result, indent=2))
    else:
        click.echo(str(output))
    if interrupted:
        ctx.exit(INTERRUPTED)
