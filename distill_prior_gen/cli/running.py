"""Making takes and writing them to files, for the commands that do so."""

from __future__ import annotations

import json
import mimetypes
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.atomic import check_writable
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.config import FORMATS, ExportConfig, GenerationConfig
from distill_prior_gen.export.naming import existing
from distill_prior_gen.plugins import get_registered, samplers, vocoders

OTHER_FORMATS = (".aac", ".caf", ".m4a", ".w64", ".wma")
"""Suffixes of sound files that are not written, beside those that `mimetypes` knows."""


@dataclass(frozen=True)
class Output:
    """Where takes go.

    Attributes:
        given: a file, or a folder for files named after model and seed.
        export: how they are written.
        overwrite: whether existing files may be replaced.
    """

    given: str
    export: ExportConfig
    overwrite: bool

    @property
    def path(self) -> Path:
        return Path(self.given)

    @staticmethod
    def is_file(given: str) -> bool:
        """Whether this names a file: something with the suffix of a file, and no folder."""
        suffix = os.path.splitext(given)[1].lower()
        if given.endswith(("/", os.sep)) or os.path.isdir(given) or not suffix:
            return False
        known = suffix[1:] in FORMATS or suffix in OTHER_FORMATS
        return known or mimetypes.MimeTypes().guess_type(f"name{suffix}")[0] is not None

    def files(self, count: int) -> list[Path] | None:
        """The files for `count` takes, if files were named; checks that they can be written.

        Raises:
            FileExistsError: if one exists and may not be replaced.
            OSError: if one could not be written.
        """
        from distill_prior_gen.export.files import check_free

        if not self.is_file(self.given):
            if os.path.lexists(self.path) and not self.path.is_dir():
                raise NotADirectoryError(f"{self.path} is a file, not a folder for takes")
            try:
                check_writable(self.path / "take")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            return None
        paths = [self.path]
        if count > 1:
            stem = self.path.stem
            paths = [self.path.with_stem(f"{stem}-{take}") for take in range(1, count + 1)]
        for path in paths:
            if not self.overwrite and (taken := existing(path)):
                raise FileExistsError(f"{taken} exists; choose another name or add --force")
            check_free(path, self.overwrite)
            check_writable(path)
        return paths


def chosen_format(output: str, chosen: str | None, default: str) -> str:
    """The format that the suffix of the output and ``--format`` agree on.

    Raises:
        ValueError: if they do not.
    """
    if not Output.is_file(output):
        return chosen or default
    suffix = os.path.splitext(output)[1]
    form = suffix[1:].lower()
    if form not in FORMATS:
        raise ValueError(
            f"--output must end in one of .{', .'.join(FORMATS)}, not {suffix}; "
            "a folder of that name must end in /"
        )
    if chosen not in (None, form):
        raise ValueError(f"--format is {chosen}, but --output ends in {suffix}")
    return form


def configured(settings: dict[str, Any]) -> GenerationConfig:
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


def check_names(config: GenerationConfig) -> None:
    """That there are such a sampler and vocoder."""
    try:
        get_registered("sampler", config.sampler, samplers())
        get_registered("vocoder", config.vocoder, vocoders())
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
    takes: list[dict[str, Any]] = []
    try:
        with progress_bar(show) as report:
            report(0.0, "Loading the model...")
            from distill_prior_gen.export.files import write_named_take, write_take
            from distill_prior_gen.generation import generate_takes
            from distill_prior_gen.model import load_model

            loaded = load_model(model, device)
            load_time = time.perf_counter() - start
            for index, result in enumerate(generate_takes(loaded, config, count, report)):
                folder = paths[index].parent if paths else output.path
                folder.mkdir(parents=True, exist_ok=True)
                if paths:
                    path = paths[index]
                    written = write_take(
                        result, loaded.identity, path, output.export, tags, output.overwrite
                    )
                else:
                    path, written = write_named_take(
                        result, loaded.identity, folder, output.export, tags
                    )
                timings = {"load": load_time, **result.timings}
                timings = {stage: round(seconds, 3) for stage, seconds in timings.items()}
                takes.append({"path": str(path), **written, "timings": timings})
    finally:  # also what was finished before an error or an interruption
        elapsed = time.perf_counter() - start
        _print_takes(takes, as_json, count)
        if not quiet:
            for note in notes + _notes(takes, expected or {}, elapsed if show else None):
                click.echo(note, err=True)


def _print_takes(takes: list[dict[str, Any]], as_json: bool, count: int) -> None:
    """Print the paths of takes, or their descriptions."""
    if as_json and takes:
        click.echo(json.dumps(takes[0] if count == 1 else takes, indent=2))
    elif not as_json:
        for take in takes:
            click.echo(take["path"])


def _notes(
    takes: list[dict[str, Any]], expected: dict[str, str], elapsed: float | None
) -> list[str]:
    """What there is to say of takes; with the seconds that have `elapsed`, how fast it went."""
    notes = [
        f"{take['path']} was scaled by {take['gain']:.2f} so that it does not clip"
        for take in takes
        if take["gain"] < 1
    ]
    for kind, sha256 in expected.items() if takes else ():
        if (file := takes[0].get(kind)) and file["sha256"] != sha256:
            notes.append(f"Warning: {file['file']} is not the {kind} that the take was made with")
    if takes and elapsed is not None:
        seeds = ", ".join(str(take["seed"]) for take in takes)
        seconds = sum(take["duration_s"] for take in takes)
        notes.append(f"seed {seeds}; {seconds:g} s in {elapsed:.1f} s")
    return notes
