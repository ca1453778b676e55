"""The frame of the commands that train networks for a model file and put them into it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import shows_progress
from distill_prior_gen.cli.training_options import Decorator, seed_option
from distill_prior_gen.cli.training_report import (
    NETWORKS,
    exit_without_model,
    fallback_notes,
    interruption_note,
    print_dataset,
    report_result,
)
from distill_prior_gen.config import Progress
from distill_prior_gen.progress import progress_bar
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import check_space, reserve, save

if TYPE_CHECKING:
    from distill_prior_gen.checkpoint import Checkpoint
    from distill_prior_gen.training.data import Dataset


@dataclass(frozen=True)
class Request:
    """What is common to requests for networks; see the options of the commands."""

    model: Path
    folder: Path
    seed: int
    device: str
    force: bool
    as_json: bool
    progress: bool | None
    quiet: bool


def request_options(trained: str) -> Decorator:
    """Arguments and options of a command that trains, for example, a "vocoder".

    The command gets them as a `Request`.
    """
    decorators: list[Decorator] = [
        click.argument("model", type=click.Path(path_type=Path)),
        click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        seed_option(trained),
        options.device,
        click.option("--force", is_flag=True, help=f"Replace a {trained} that MODEL has already."),
        click.option(
            "--json", "as_json", is_flag=True, help=f"Print a JSON description of the {trained}."
        ),
        options.progress,
        options.quiet,
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_request(**given: Any) -> None:
            request = Request(**{part.name: given.pop(part.name) for part in fields(Request)})
            command(request, **given)

        decorated: Callable[..., None] = with_request
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        return decorated

    return decorate


@dataclass
class ExtendedModel:
    """A model file that networks are added to.

    Attributes:
        checkpoint: the file before the training.
        dataset: the recordings.
        path: the file, or a copy in another folder if it could not be written.
        failure: why it could not be written; empty if it could.
        entries: entries of the networks that were added.
    """

    checkpoint: Checkpoint
    dataset: Dataset
    path: Path
    failure: str = ""
    entries: dict[str, Any] = field(default_factory=dict)

    def add(self, entries: dict[str, Any]) -> None:
        """Put a network into the file; if that fails, into a copy in another folder."""
        from distill_prior_gen.checkpoint.writing import unchanged_checkpoint, write_with

        self.entries |= entries

        def write(path: Path, overwrite: bool) -> None:
            source = unchanged_checkpoint(path, self.checkpoint) if overwrite else self.checkpoint
            write_with(path, source, self.entries, overwrite)

        self.path, failure = save(self.path, write, overwrite=True)
        self.failure = self.failure or failure


class Summary(NamedTuple):
    """How the training of networks went.

    Attributes:
        notes: lines about them.
        result: entries of the description for ``--json``.
        kept: what Ctrl-C left; empty if it ended no training.
        missing: those of `NETWORKS` that Ctrl-C left out.
        failed: whether the command fails although nothing went wrong.
    """

    notes: list[str]
    result: dict[str, Any]
    kept: str = ""
    missing: Sequence[str] = ()
    failed: bool = False


def add_networks(
    request: Request,
    networks: Sequence[str],
    train: Callable[[ExtendedModel, Progress], Summary],
    pictures: Sequence[Path] = (),
) -> None:
    """Train networks for a model file, put them into it, and end the command with a report.

    Args:
        request: what the user asked for.
        networks: those of `NETWORKS` that are trained. A model that has one of them is refused,
            unless that was forced.
        train: function that trains them and adds them to the model. KeyboardInterrupt means that
            Ctrl-C came before there was anything to keep.
        pictures: files that `train` writes next to the model.
    """
    ctx, start = click.get_current_context(), time.perf_counter()
    show = shows_progress(request.progress, request.quiet)
    with defer_signals() as interruption, reserve(request.model, *pictures):
        try:
            with interruption.allowed():
                with progress_bar(show) as report:
                    model = _prepare(request, networks, pictures, report)
                print_dataset(model.dataset, request.quiet)
            with progress_bar(show) as report:
                summary = train(model, report)
        except KeyboardInterrupt:
            exit_without_model(ctx, request.model)
        interrupted = bool(summary.kept) or interruption.pending
    notes = [*summary.notes, *fallback_notes(request.model, model.path, model.failure)]
    if interrupted:
        kept = summary.kept or "the model is complete"
        notes.append(interruption_note(kept, summary.missing, model.path, request.folder))
    result = {"path": str(model.path)} | summary.result
    report_result(model.dataset, result, request.seed, start, notes, request.as_json, request.quiet)
    ctx.exit(options.INTERRUPTED if interrupted else bool(model.failure) or summary.failed)


def _prepare(
    request: Request, networks: Sequence[str], pictures: Sequence[Path], report: Progress
) -> ExtendedModel:
    """Read the model and the recordings, and check that there is space on the disk."""
    report(0.0, "Loading...")
    from distill_prior_gen.checkpoint import read_checkpoint
    from distill_prior_gen.training.data import read_dataset
    from distill_prior_gen.training.output import MAX_ADDED_BYTES, MAX_PICTURE_BYTES

    path = request.model
    checkpoint = read_checkpoint(path)
    if not request.force:
        for network in networks:
            if getattr(checkpoint, f"{network}_state") is not None:
                raise FileExistsError(
                    f"{path} has a {NETWORKS[network]}; add --force to replace it"
                )
        for picture in pictures:
            if picture.exists():
                raise FileExistsError(f"{picture} exists; move it or add --force")
    dataset = read_dataset(
        request.folder, checkpoint.spectrogram, checkpoint.chunk_duration, report
    )
    check_space(path, 2 * path.stat().st_size + MAX_ADDED_BYTES + MAX_PICTURE_BYTES)
    return ExtendedModel(checkpoint, dataset, path)
