"""Making takes and writing them to files, for the commands that do so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli.destination import Destination
from distill_prior_gen.cli.writing import Writing
from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.formats import LOOP_NOTES
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.progress import progress_bar

if TYPE_CHECKING:
    from distill_prior_gen.export.sidecar import Sidecar
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@dataclass(frozen=True)
class WrittenTake:
    """A take that was written to a file.

    Attributes:
        path: the audio file.
        sidecar: its description.
        timings: seconds for each stage, loading included.
    """

    path: Path
    sidecar: Sidecar
    timings: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints: the sidecar without codes, and the timings."""
        described = asdict(self.sidecar)
        for part in (described, *described["edits"]):
            del part["codes"]
        return {"path": str(self.path), **described, "timings": self.timings}


def create_config(settings: dict[str, Any]) -> GenerationConfig:
    """The settings of a take.

    Raises:
        ValueError: naming the setting that is wrong, and the option that would allow it.
    """
    try:
        return GenerationConfig(**settings)
    except ValueError as error:
        if str(error).startswith("duration") and not settings.get("allow_long"):
            raise ValueError(f"{error}; --allow-long lifts the maximum") from error
        raise


def check_registered(config: GenerationConfig) -> None:
    """Check that the sampler and the vocoder exist.

    Raises:
        click.UsageError: if one does not.
    """
    try:
        get_registered("sampler", config.sampler, samplers())
        get_registered("vocoder", config.vocoder, vocoders())
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def make_takes(
    model: Path,
    make: Callable[[PriorModel, Progress], Iterable[GenerationResult]],
    count: int,
    destination: Destination,
    writing: Writing,
    notes: list[str],
    original: Sidecar | None = None,
) -> None:
    """Make takes, write them, and print their paths or descriptions.

    Args:
        model: the model file.
        make: makes the takes, one after the other.
        count: number of takes.
        destination: where they are written to.
        writing: how to work and what to print.
        notes: lines for standard error, printed at the end.
        original: sidecar of the take that is made again, whose tags are kept; its files are
            expected to be the same.
    """
    paths = destination.files(count)
    start = time.perf_counter()
    takes: list[WrittenTake] = []
    tags = original.tags if original else None
    try:
        with progress_bar(writing.shows_progress) as report:
            loaded, load_time = _load(model, writing.device, report)
            _write(make(loaded, report), loaded, load_time, destination, paths, tags, takes)
    finally:  # also what was finished before an error or an interruption
        _print_takes(takes, writing.as_json, count)
        notes += [*_clipping_notes(takes), *_loop_notes(takes), *_replaced_files(takes, original)]
        if takes and writing.shows_progress:
            notes.append(_speed(takes, time.perf_counter() - start))
        for note in () if writing.quiet else notes:
            click.echo(note, err=True)


def _load(model: Path, device: str, report: Progress) -> tuple[PriorModel, float]:
    """The model, and the seconds that it took to load it."""
    start = time.perf_counter()
    report(0.0, "Loading the model...")
    from distill_prior_gen.model import load_model

    return load_model(model, device), time.perf_counter() - start


def _write(
    results: Iterable[GenerationResult],
    model: PriorModel,
    load_time: float,
    destination: Destination,
    paths: list[Path] | None,
    tags: dict[str, str] | None,
    takes: list[WrittenTake],
) -> None:
    """Write takes as soon as they are made, and append each to `takes`."""
    from distill_prior_gen.export.files import write_named_take, write_take

    export, overwrite = destination.export, destination.overwrite
    for index, result in enumerate(results):
        folder = paths[index].parent if paths else destination.path
        folder.mkdir(parents=True, exist_ok=True)
        if paths:
            path = paths[index]
            sidecar = write_take(result, model.identity, path, export, tags, overwrite)
        else:
            path, sidecar = write_named_take(result, model.identity, folder, export, tags)
        timings = {"load": load_time, **result.timings}
        timings = {stage: round(seconds, 3) for stage, seconds in timings.items()}
        takes.append(WrittenTake(path, sidecar, timings))


def _print_takes(takes: list[WrittenTake], as_json: bool, count: int) -> None:
    """Print the paths of takes, or their descriptions."""
    if as_json and takes:
        described = [take.to_json() for take in takes]
        click.echo(json.dumps(described[0] if count == 1 else described, indent=2))
    elif not as_json:
        for take in takes:
            click.echo(str(take.path))


def _clipping_notes(takes: list[WrittenTake]) -> list[str]:
    return [
        f"{take.path} was scaled by {take.sidecar.gain:.2f} so that it does not clip"
        for take in takes
        if take.sidecar.gain < 1 and take.sidecar.loudness is None
    ]


def _loop_notes(takes: list[WrittenTake]) -> list[str]:
    formats = {take.sidecar.format for take in takes if take.sidecar.config["loop"]}
    return [note for form, note in LOOP_NOTES.items() if form in formats]


def _replaced_files(takes: list[WrittenTake], original: Sidecar | None) -> list[str]:
    """Warnings where a take was not made with the files of the original."""
    if not takes or not original:
        return []
    new = takes[0].sidecar
    pairs = {"model": (new.model, original.model), "prompt": (new.prompt, original.prompt)}
    return [
        f"Warning: {file.file} is not the {kind} that the take was made with"
        for kind, (file, expected) in pairs.items()
        if file and expected and file.sha256 != expected.sha256
    ]


def _speed(takes: list[WrittenTake], elapsed: float) -> str:
    seeds = ", ".join(str(take.sidecar.seed) for take in takes)
    seconds = sum(take.sidecar.duration_s for take in takes)
    return f"seed {seeds}; {seconds:g} s in {elapsed:.1f} s"
