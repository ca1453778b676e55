"""``distill-prior replay``: make a take again from its sidecar."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.destination import Destination, resolve_format
from distill_prior_gen.cli.running import (
    RunOptions,
    check_registered,
    create_config,
    make_takes,
)
from distill_prior_gen.config import SAMPLE_RATES, ExportConfig, GenerationConfig
from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.export.sidecar import FileReference


@click.command()
@click.argument("sidecar", metavar="TAKE.wav.json", type=click.Path(path_type=Path))
@options.output
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model to use.  [default: the file that the take was made with]",
)
@options.take(show_default=False)
@options.format_
@options.sample_rate
@options.bit_depth
@options.device
@options.force
@options.as_json
@options.progress
@options.quiet
def replay(
    sidecar: Path,
    output: str,
    model: Path | None,
    format_: str | None,
    sample_rate: int | None,
    bit_depth: int | None,
    device: str,
    force: bool,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Make a take again from its sidecar, TAKE.wav.json.

    On the same machine it is the same, bit for bit. Options replace the settings in the file:
    '--duration 30' continues the same music, '--seed' makes a similar take.
    """
    from distill_prior_gen.export.sidecar import read_sidecar

    changes = options.explicit_settings(settings)
    take = read_sidecar(sidecar)
    model = model or find_file(sidecar, take.model, "--model")
    config = dict(take.config)
    if take.prompt and "prompt" not in changes:
        config["prompt"] = str(find_file(sidecar, take.prompt, "--prompt"))
    if unknown := config.keys() - {field.name for field in fields(GenerationConfig)}:
        raise ValueError(
            f"{sidecar} has settings that this version does not know "
            f"({', '.join(sorted(unknown))}); install a newer one"
        )
    try:
        changed = create_config(config | changes)
        chosen = resolve_format(output, format_, take.format)
        if sample_rate is None and take.sample_rate in SAMPLE_RATES:
            sample_rate = take.sample_rate
        if bit_depth is None and chosen == take.format:
            bit_depth = take.bit_depth
        export = ExportConfig(chosen, sample_rate, bit_depth)
    except ValueError as error:
        raise click.UsageError(f"{sidecar}: {error}") from error
    check_registered(changed)
    destination = Destination(output, export, force)
    run = RunOptions(device, as_json, progress, quiet)
    if "prompt" in changes:
        take = replace(take, prompt=None)
    edits = take.read_edits()
    make_takes(model, changed, 1, destination, run, [], original=take, edits=edits)


def find_file(sidecar: Path, file: FileReference, option: str) -> Path:
    """The file that a sidecar refers to; for the demo model, wherever it is installed."""
    for folder in (sidecar.parent, Path(os.path.realpath(sidecar)).parent):
        if os.path.exists(path := folder / file.path):
            return path
    path = sidecar.parent / file.path
    if path.name == demo_model().name:
        return demo_model()
    raise FileNotFoundError(
        f"{path} is not there any more; give it with {option} (its SHA-256 is {file.sha256})"
    )
