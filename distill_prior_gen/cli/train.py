"""``distill-prior train``: a model file from a folder of recordings."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar, shows_progress
from distill_prior_gen.cli.training_report import (
    PRIOR_OPTIONS,
    VQVAE_OPTIONS,
    exit_without_model,
    fallback_notes,
    partial_progress,
    plot_or_note,
    print_dataset,
    prior_notes,
    prior_result,
    refuse_existing,
    report_result,
    setting_options,
    vqvae_notes,
    vqvae_result,
)
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import (
    check_space,
    make_folder,
    reserve,
    save,
    unused_path,
)
from distill_prior_gen.training.settings import TRAINING_LIMITS, PriorSettings, VQVAESettings

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import TrainingHistory
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.vqvae import TrainedVQVAE


@dataclass
class Outcome:
    """Result of the two stages of a training.

    Attributes:
        path: the model file.
        vqvae: the trained VQ-VAE.
        prior: the trained prior, or None if Ctrl-C came before there was one to keep.
        histories: losses of each stage by the name of the loss.
        failure: why the model could not be saved where it should be; empty if it could.
    """

    path: Path
    vqvae: TrainedVQVAE
    prior: TrainedPrior | None = None
    histories: dict[str, TrainingHistory] = field(default_factory=dict)
    failure: str = ""

    @property
    def interrupted(self) -> bool:
        return self.prior is None or self.prior.history.interrupted


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
    type=click.IntRange(*TRAINING_LIMITS["seed"]),
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
    /,
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

    The VQ-VAE is trained first, then the prior on its codes. Sizes that are not given depend
    on the number of recordings. Next to the model, NAME.png shows how the training went.
    Ctrl-C ends a stage early and keeps its best epoch.
    """
    if output.suffix != ".distill":
        raise click.UsageError(f"--output must end in .distill, not {output.name}")
    picture = output.with_suffix(".png")
    if not force:
        refuse_existing(output, picture)
    show = shows_progress(progress, quiet)
    start = time.perf_counter()
    make_folder(output)
    with defer_signals() as interruption, reserve(output, picture):
        try:
            with interruption.allowed():
                dataset, settings = _prepare(folder, output, seed, given, show, quiet)
            outcome = _train_stages(dataset, output, settings, device, force, show)
        except KeyboardInterrupt:
            exit_without_model(ctx, output)
        vqvae = outcome.vqvae.vqvae
        picture_notes = plot_or_note(picture, dataset, vqvae, outcome.histories, force)
        interrupted = outcome.interrupted or interruption.pending
    notes = [
        *vqvae_notes(outcome.vqvae),
        *(prior_notes(outcome.prior) if outcome.prior else []),
        *picture_notes,
        *fallback_notes(output, outcome.path, outcome.failure),
        *([_interruption_note(outcome, folder)] if interrupted else []),
    ]
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
    """Read the recordings, and check that there is space for the model on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import MAX_PICTURE_BYTES, model_bytes

        dataset = read_dataset(folder, progress=report)
    prior_given = {k.removeprefix("prior_"): v for k, v in given.items() if k.startswith("prior_")}
    vqvae_given = {k: v for k, v in given.items() if not k.startswith("prior_")}
    settings = (
        VQVAESettings.for_files(dataset.files, seed=seed, **vqvae_given),
        PriorSettings.for_files(dataset.files, seed=seed, **prior_given),
    )
    # The file of the VQ-VAE still exists while that of the whole model is written.
    check_space(output, 2 * model_bytes(dataset, *settings) + MAX_PICTURE_BYTES)
    print_dataset(dataset, quiet)
    return dataset, settings


def _train_stages(
    dataset: Dataset,
    output: Path,
    settings: tuple[VQVAESettings, PriorSettings],
    device: str,
    force: bool,
    show: bool,
) -> Outcome:
    """Train both networks, and save the model after each.

    An existing model is replaced only by a complete one.

    Raises:
        KeyboardInterrupt: if Ctrl-C came before there was anything to save.
    """
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.prior import train_prior
    from distill_prior_gen.training.vqvae import train_vqvae

    vqvae_output = output
    if output.exists():
        vqvae_output = unused_path(output.with_name(f"{output.stem}-vqvae.distill"))
    with progress_bar(show) as report:
        vqvae = train_vqvae(dataset, settings[0], device, partial_progress(report, 0.0, 0.35))
        path, failure = save(vqvae_output, lambda p, o: save_model(p, dataset, vqvae, overwrite=o))
        outcome = Outcome(path, vqvae, failure=failure)
        outcome.histories["VQ-VAE, mel error"] = vqvae.history
        if vqvae.history.interrupted:
            return outcome
        try:
            prior = train_prior(
                vqvae.vqvae, dataset, settings[1], device, partial_progress(report, 0.35, 1.0)
            )
        except KeyboardInterrupt:
            return outcome
        except (ArithmeticError, MemoryError) as error:
            raise type(error)(f"{error}; {path} holds the VQ-VAE, without a prior") from error
    outcome.prior = prior
    outcome.histories["prior, cross-entropy"] = prior.history
    outcome.path, outcome.failure = save(
        output, lambda p, o: save_model(p, dataset, vqvae, prior, o), force or path == output
    )
    if outcome.path != path:
        path.unlink(missing_ok=True)
    return outcome


def _interruption_note(outcome: Outcome, folder: Path) -> str:
    path = outcome.path
    if outcome.prior:
        kept = "the best so far is kept" if outcome.interrupted else "the model is complete"
    else:
        kept = f"the VQ-VAE is kept in {path}, without a prior"
    return f"Interrupted: {kept}; 'distill-prior train-prior {path} {folder}' trains a prior"
