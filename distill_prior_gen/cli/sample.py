"""``distill-prior sample``: make takes and write them to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.takes import Output, check_names, chosen_format, make_takes
from distill_prior_gen.config import ExportConfig, GenerationConfig
from distill_prior_gen.demo import demo_model


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File to write (the suffix sets the format) or folder for files named after model "
    "and seed.  [default: the current folder]",
)
@options.take(show_default=True)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of takes, with the seeds SEED, SEED + 1 and so on.",
)
@options.format_
@options.sample_rate
@options.bit_depth
@options.device
@options.force
@options.as_json
@options.progress
@options.quiet
def sample(
    model: Path | None,
    output: Path,
    count: int,
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
    """Make takes from MODEL, a .distill file with a prior, or from the demo model.

    Prints the paths of the takes. Beside each, NAME.json says how to make it again:
    'distill-prior replay NAME.json'. Without --seed, a new one is drawn.
    """
    try:
        config = GenerationConfig(**options.given(settings))
        chosen = chosen_format(output, format_, ExportConfig.format)
        export = ExportConfig(chosen, sample_rate, bit_depth)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_names(config)
    notes = [] if model else ["No MODEL was given: this is the demo model"]
    to = Output(output, export, force)
    make_takes(model or demo_model(), config, count, to, device, as_json, progress, quiet, notes)
