"""``distill-prior train``: a model file from a folder of recordings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.continuing import (
    explained_resuming,
    find_state,
    memory_notes,
    memory_result,
    resume_command,
    resume_notes,
    resumed_options,
)
from distill_prior_gen.cli.progress import shows_progress
from distill_prior_gen.cli.training_options import (
    PRIOR_OPTIONS,
    VOCODER_OPTIONS,
    VQVAE_OPTIONS,
    continuing_options,
    seed_option,
    setting_options,
    timeline_stage_options,
)
from distill_prior_gen.cli.training_plan import Files, observe, prepare
from distill_prior_gen.cli.training_report import (
    NETWORKS,
    card_or_note,
    exit_without_model,
    fallback_notes,
    interruption_note,
    plot_or_note,
    print_dataset,
    print_note,
    prior_notes,
    prior_result,
    report_result,
    takes_notes,
    timeline_notes,
    timeline_result,
    vocoder_notes,
    vocoder_result,
    vqvae_notes,
    vqvae_result,
)
from distill_prior_gen.cli.training_stages import Outcome, train_stages
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import make_folder, reserve

if TYPE_CHECKING:
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
@continuing_options
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
    resume: bool,
    preview_every: int | None,
    status: Path | None,
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
    NAME.png shows how the training went, and NAME.md describes the model. Ctrl-C ends a stage
    early and keeps what it has learned; --resume goes on.
    """
    if output.suffix != ".distill":
        raise click.UsageError(f"--output must end in .distill, not {output.name}")
    files, start = Files(folder, output), time.perf_counter()
    state = find_state(output, resume, force, quiet)
    if state:
        given = resumed_options(ctx, given, state)
    show, command = shows_progress(progress, quiet), resume_command(folder, output, force)
    make_folder(output)
    with defer_signals() as interruption, reserve(output, files.picture, files.card):
        try:
            with interruption.allowed():
                plan = prepare(ctx, files, given, state, force, show)
                plan = observe(plan, preview_every, status)
                print_dataset(plan.dataset, quiet)
                state = plan.state
            with explained_resuming(state, command):
                outcome = train_stages(plan, show)
        except KeyboardInterrupt:
            for note in resume_notes(state, command):
                print_note(note, quiet)
            exit_without_model(ctx, output)
        notes = _written_notes(outcome, files)
        if not outcome.unfinished:
            state.path.unlink(missing_ok=True)
        interrupted = outcome.unfinished or interruption.pending
    notes = [
        *_network_notes(outcome),
        *notes,
        *fallback_notes(output, outcome.path, outcome.failure),
        *([_interruption_note(outcome, folder)] if interrupted else []),
        *(resume_notes(state, command) if outcome.unfinished else []),
    ]
    report_result(
        plan.dataset, _result(outcome, files), given["seed"], start, notes, as_json, quiet
    )
    ctx.exit(options.INTERRUPTED if interrupted else bool(outcome.failure))


def _written_notes(outcome: Outcome, files: Files) -> list[str]:
    """Write picture and card; notes about what could not be written."""
    plan, vqvae = outcome.plan, outcome.vqvae.vqvae
    overwrite = plan.force or plan.own
    notes = plot_or_note(files.picture, plan.dataset, vqvae, outcome.histories, overwrite)
    notes += card_or_note(files.card, outcome.path, files.picture, overwrite)
    if plan.state.failure:
        notes.append(f"Warning: {plan.state.path} could not be written: {plan.state.failure}")
    if plan.previews and plan.previews.failure:
        notes.append(f"Warning: a preview could not be written: {plan.previews.failure}")
    return notes


def _network_notes(outcome: Outcome) -> list[str]:
    former = outcome.plan.former
    return [
        *vqvae_notes(outcome.vqvae),
        *(
            memory_notes(outcome.memory, former.checkpoint.path)
            if outcome.memory and former
            else []
        ),
        *(prior_notes(outcome.prior) if outcome.prior else []),
        *(timeline_notes(outcome.timeline) if outcome.timeline else []),
        *(_vocoder_notes(outcome.vocoder) if outcome.vocoder else []),
        *(takes_notes(outcome.evaluation) if outcome.evaluation else []),
    ]


def _result(outcome: Outcome, files: Files) -> dict[str, Any]:
    """Description of the model for ``--json``."""
    return {
        "path": str(outcome.path),
        "picture": str(files.picture),
        "card": str(files.card),
        "vqvae": vqvae_result(outcome.vqvae),
        "prior": prior_result(outcome.prior) if outcome.prior else None,
        "timeline": timeline_result(outcome.timeline) if outcome.timeline else None,
        "vocoder": vocoder_result(outcome.vocoder) if outcome.vocoder else None,
        "memory": memory_result(outcome.memory) if outcome.memory else None,
        "takes": outcome.evaluation,
        "unfinished": outcome.unfinished,
    }


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
