"""Making takes and writing them to files, for the commands that do so."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.config import FORMATS, ExportConfig, GenerationConfig
from distill_prior_gen.paths import existing, free_path
from distill_prior_gen.plugins import choose, samplers, vocoders


@dataclass(frozen=True)
class Output:
    """Where takes go.

    Attributes:
        path: a file, or a folder for files named after model and seed.
        export: how they are written.
        overwrite: whether existing files may be replaced.
    """

    path: Path
    export: ExportConfig
    overwrite: bool

    @staticmethod
    def is_file(path: Path) -> bool:
        return path.suffix != "" and not path.is_dir()

    def files(self, count: int) -> list[Path] | None:
        """The files for so many takes, if they were named.

        Raises:
            FileExistsError: if one exists and may not be replaced.
        """
        if not self.is_file(self.path):
            return None
        paths = [self.path]
        if count > 1:
            stem = self.path.stem
            paths = [self.path.with_stem(f"{stem}-{take}") for take in range(1, count + 1)]
        for path in paths:
            if not self.overwrite and (taken := existing(path)):
                raise FileExistsError(f"{taken} exists; choose another name or add --force")
        return paths


def chosen_format(output: Path, chosen: str | None, default: str) -> str:
    """The format that the suffix of the output and ``--format`` agree on.

    Raises:
        ValueError: if they do not.
    """
    if not Output.is_file(output):
        return chosen or default
    suffix = output.suffix[1:].lower()
    if suffix not in FORMATS:
        raise ValueError(f"--output must end in one of .{', .'.join(FORMATS)}, not {output.suffix}")
    if chosen not in (None, suffix):
        raise ValueError(f"--format is {chosen}, but --output ends in {output.suffix}")
    return suffix


def check_names(config: GenerationConfig) -> None:
    """That there are such a sampler and vocoder."""
    try:
        choose("sampler", config.sampler, samplers())
        choose("vocoder", config.vocoder, vocoders())
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def make_takes(
    model: Path,
    config: GenerationConfig,
    count: int,
    output: Output,
    device: str,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
    notes: list[str],
    tags: dict[str, str] | None = None,
    expected: dict[str, str] | None = None,
) -> None:
    """Make takes, write them, and print their paths or a description.

    Args:
        notes: what to say on standard error in the end, unless `quiet`.
        tags: of the files.
        expected: SHA-256 that the files ``model`` and ``prompt`` should have.
    """
    paths = output.files(count)
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)
    start = time.perf_counter()
    with progress_bar(show) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.audio.files import write_take
        from distill_prior_gen.generation import generate_takes
        from distill_prior_gen.model import load_model

        loaded = load_model(model, device)
        load_time = time.perf_counter() - start
        takes = []
        for index, result in enumerate(generate_takes(loaded, config, count, report)):
            path = (
                paths[index]
                if paths
                else free_path(output.path, loaded.name, result.seed, output.export)
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write_take(
                result, loaded.identity, path, output.export, tags, output.overwrite
            )
            timings = {"load": load_time, **result.timings}
            timings = {stage: round(seconds, 3) for stage, seconds in timings.items()}
            takes.append({"path": str(path), **written, "timings": timings})
            if written["gain"] < 1:
                notes.append(f"{path} was scaled by {written['gain']:.2f} so that it does not clip")
    elapsed = time.perf_counter() - start
    for kind, sha256 in (expected or {}).items():
        if (file := takes[0].get(kind)) and file["sha256"] != sha256:
            notes.append(f"Warning: {file['file']} is not the {kind} that the take was made with")
    if as_json:
        click.echo(json.dumps(takes[0] if count == 1 else takes, indent=2))
    else:
        for take in takes:
            click.echo(take["path"])
    if show:
        seeds = ", ".join(str(take["seed"]) for take in takes)
        seconds = sum(take["duration_s"] for take in takes)
        notes.append(f"seed {seeds}; {seconds:g} s in {elapsed:.1f} s")
    for note in () if quiet else notes:
        click.echo(note, err=True)
