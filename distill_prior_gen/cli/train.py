"""``distill-prior train``: a model file from a folder of recordings."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.cli.training_report import (
    PRIOR_OPTIONS,
    VQVAE_OPTIONS,
    announce,
    draw_picture,
    nothing_kept,
    prior_notes,
    prior_result,
    refuse_existing,
    report_result,
    saved_elsewhere,
    setting_options,
    share_of,
    vqvae_notes,
    vqvae_result,
)
from distill_prior_gen.training.interrupts import put_off
from distill_prior_gen.training.saving import check_space, claimed, make_folder, save, unused
from distill_prior_gen.training.settings import LIMITS, PriorSettings, VQVAESettings

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import Fit
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.vqvae import TrainedVQVAE


@dataclass
class Outcome:
    """What came of the two stages of a training.

    Attributes:
        path: of the model.
        vqvae, prior: the prior is None if it was interrupted before it was worth keeping.
        fits: how each stage went, by the name of its loss.
        failure: why the model is not where it should be; empty if it is.
    """

    path: Path
    vqvae: TrainedVQVAE
    prior: TrainedPrior | None = None
    fits: dict[str, Fit] = field(default_factory=dict)
    failure: str = ""

    @property
    def interrupted(self) -> bool:
        return self.prior is None or self.prior.fit.interrupted


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
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)
    start = time.perf_counter()
    make_folder(output)
    with put_off() as interruption, claimed(output, picture):
        try:
            with interruption.allowed():
                dataset, settings = _prepare(folder, output, seed, given, show, quiet)
            outcome = _stages(dataset, output, settings, device, force, show)
        except KeyboardInterrupt:
            nothing_kept(ctx, output)
        notes = draw_picture(picture, dataset, outcome.vqvae.vqvae, outcome.fits, force)
        interrupted = outcome.interrupted or interruption.came
    notes = [
        *vqvae_notes(outcome.vqvae),
        *(prior_notes(outcome.prior) if outcome.prior else []),
        *notes,
        *saved_elsewhere(output, outcome.path, outcome.failure),
    ]
    if interrupted:
        notes.append(_interrupted(outcome, folder))
    result = {
        "path": str(outcome.path),
        "picture": str(picture),
        "vqvae": vqvae_result(outcome.vqvae),
        "prior": prior_result(outcome.prior) if outcome.prior else None,
    }
    report_result(dataset, result, seed, start, notes, as_json, quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(outcome.failure))


def _prepare(
    folder: Path, output: Path, seed: int, given: dict[str, Any], show: bool, quiet: bool
) -> tuple[Dataset, tuple[VQVAESettings, PriorSettings]]:
    """Read the recordings, and find out whether there is room for the model."""
    of_prior = {k.removeprefix("prior_"): v for k, v in given.items() if k.startswith("prior_")}
    of_vqvae = {k: v for k, v in given.items() if not k.startswith("prior_")}
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import PICTURE_BYTES, model_bytes

        dataset = read_dataset(folder, progress=report)
    settings = (
        VQVAESettings.for_files(dataset.files, seed=seed, **of_vqvae),
        PriorSettings.for_files(dataset.files, seed=seed, **of_prior),
    )
    # The VQ-VAE alone is still there when the whole model is written.
    check_space(output, 2 * model_bytes(dataset, *settings) + PICTURE_BYTES)
    announce(dataset, quiet)
    return dataset, settings


def _stages(
    dataset: Dataset,
    output: Path,
    settings: tuple[VQVAESettings, PriorSettings],
    device: str,
    force: bool,
    show: bool,
) -> Outcome:
    """Train both networks and save after each.

    A model that is there already is replaced by a complete one only.

    Raises:
        KeyboardInterrupt: if Ctrl-C came before there was anything to save.
    """
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.prior import train_prior
    from distill_prior_gen.training.vqvae import train_vqvae

    first = unused(output.with_name(f"{output.stem}-vqvae.distill")) if output.exists() else output
    with progress_bar(show) as report:
        vqvae = train_vqvae(dataset, settings[0], device, share_of(report, 0.0, 0.35))
        path, failure = save(first, lambda p, o: save_model(p, dataset, vqvae, overwrite=o))
        outcome = Outcome(path, vqvae, fits={"VQ-VAE, mel error": vqvae.fit}, failure=failure)
        if vqvae.fit.interrupted:
            return outcome
        try:
            prior = train_prior(
                vqvae.vqvae, dataset, settings[1], device, share_of(report, 0.35, 1.0)
            )
        except KeyboardInterrupt:
            return outcome
        except (ArithmeticError, MemoryError) as error:
            raise type(error)(f"{error}; {path} holds the VQ-VAE, without a prior") from error
    outcome.prior = prior
    outcome.fits["prior, cross-entropy"] = prior.fit
    outcome.path, outcome.failure = save(
        output, lambda p, o: save_model(p, dataset, vqvae, prior, o), force or path == output
    )
    if outcome.path != path:
        path.unlink(missing_ok=True)
    return outcome


def _interrupted(outcome: Outcome, folder: Path) -> str:
    path = outcome.path
    if outcome.prior:
        kept = "the best so far is kept" if outcome.interrupted else "the model is complete"
    else:
        kept = f"the VQ-VAE is kept in {path}, without a prior"
    return f"Interrupted: {kept}; 'distill-prior train-prior {path} {folder}' trains a prior"
