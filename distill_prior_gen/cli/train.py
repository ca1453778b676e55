"""``distill-prior train``: a model file from a folder of recordings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar, shows_progress
from distill_prior_gen.cli.training_options import (
    PRIOR_OPTIONS,
    VOCODER_OPTIONS,
    VQVAE_OPTIONS,
    seed_option,
    setting_options,
    timeline_stage_options,
)
from distill_prior_gen.cli.training_report import (
    NETWORKS,
    exit_without_model,
    fallback_notes,
    interruption_note,
    plot_or_note,
    print_dataset,
    prior_notes,
    prior_result,
    refuse_existing,
    report_result,
    timeline_notes,
    timeline_result,
    vocoder_notes,
    vocoder_result,
    vqvae_notes,
    vqvae_result,
)
from distill_prior_gen.cli.training_stages import Outcome, Settings, train_stages
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import (
    check_space,
    make_folder,
    reserve,
)
from distill_prior_gen.training.settings import (
    PriorSettings,
    TimelineSettings,
    VocoderSettings,
    VQVAESettings,
)

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.vocoder import TrainedVocoder


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Model file to write, ending in .distill.",
)
@setting_options(VQVAE_OPTIONS, "vqvae_")
@setting_options(PRIOR_OPTIONS, "prior_", "dropout epochs batch_size learning_rate weight_decay")
@timeline_stage_options
@setting_options({"epochs": VOCODER_OPTIONS["epochs"]}, "vocoder_", "epochs")
@click.option("--no-vocoder", is_flag=True, help="Do not train a vocoder.")
@seed_option("model")
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

    The VQ-VAE is trained first, then the prior on its codes, then a timeline prior, which
    remembers seconds of a take, and then a vocoder, which makes takes sound closer to the
    recordings. Sizes that are not given depend on the number of recordings. Next to the model,
    NAME.png shows how the training went. Ctrl-C ends a stage early and keeps what it has learned.
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
            outcome = train_stages(dataset, output, settings, device, force, show)
        except KeyboardInterrupt:
            exit_without_model(ctx, output)
        vqvae = outcome.vqvae.vqvae
        picture_notes = plot_or_note(picture, dataset, vqvae, outcome.histories, force)
        interrupted = outcome.ended_early or bool(outcome.missing) or interruption.pending
    notes = [
        *vqvae_notes(outcome.vqvae),
        *(prior_notes(outcome.prior) if outcome.prior else []),
        *(timeline_notes(outcome.timeline) if outcome.timeline else []),
        *(_vocoder_notes(outcome.vocoder) if outcome.vocoder else []),
        *picture_notes,
        *fallback_notes(output, outcome.path, outcome.failure),
        *([_interruption_note(outcome, folder)] if interrupted else []),
    ]
    result = {
        "path": str(outcome.path),
        "picture": str(picture),
        "vqvae": vqvae_result(outcome.vqvae),
        "prior": prior_result(outcome.prior) if outcome.prior else None,
        "timeline": timeline_result(outcome.timeline) if outcome.timeline else None,
        "vocoder": vocoder_result(outcome.vocoder) if outcome.vocoder else None,
    }
    report_result(dataset, result, seed, start, notes, as_json, quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(outcome.failure))


def _prepare(
    folder: Path, output: Path, seed: int, given: dict[str, Any], show: bool, quiet: bool
) -> tuple[Dataset, Settings]:
    """Read the recordings, and check that there is space for the model on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.output import MAX_PICTURE_BYTES, model_bytes

        dataset = read_dataset(folder, progress=report)

    def chosen(prefix: str) -> dict[str, Any]:
        named = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        return {"files": dataset.files, "seed": seed, **named}

    settings = Settings(
        VQVAESettings.for_files(**chosen("vqvae_")),
        PriorSettings.for_files(**chosen("prior_")),
        None if given["no_timeline"] else TimelineSettings.for_files(**chosen("timeline_")),
        None if given["no_vocoder"] else VocoderSettings.for_files(**chosen("vocoder_")),
    )
    # The file without the next network still exists while that with it is written.
    needed = 2 * model_bytes(dataset, settings.vqvae, settings.prior)
    check_space(output, needed + MAX_PICTURE_BYTES)
    print_dataset(dataset, quiet)
    return dataset, settings


def _vocoder_notes(vocoder: TrainedVocoder) -> list[str]:
    notes = vocoder_notes(vocoder, vocoder.better)
    return [note.replace("Error:", "Warning:").split("; --keep")[0] for note in notes]


def _interruption_note(outcome: Outcome, folder: Path) -> str:
    missing = outcome.missing
    kept = "the model is complete"
    if outcome.prior is None:
        kept = f"the VQ-VAE is kept in {outcome.path}, without a prior"
        missing = [name for name in missing if name != "timeline"]  # train-prior trains both
    elif outcome.ended_early:
        kept = "what was learned so far is kept"
    elif missing:
        kept += f", without a {NETWORKS[missing[0]]}"
    return interruption_note(kept, missing, outcome.path, folder)
