"""``distill-prior decode``: make sound of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.destination import Destination, resolve_format
from distill_prior_gen.cli.running import RunOptions, check_registered, create_config, make_takes
from distill_prior_gen.config import ExportConfig, Progress
from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@click.command()
@click.argument("codes", metavar="CODES.npz", type=click.Path(path_type=Path))
@options.output
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    help="The model of the codes.  [default: the demo model]",
)
@options.take(show_default=False, names=("vocoder", "quality", "seed"))
@options.format_
@options.sample_rate
@options.bit_depth
@options.device
@options.force
@options.as_json
@options.progress
@options.quiet
def decode(
    codes: Path,
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
    """Make sound of codes that 'distill-prior encode' wrote, or that you have changed."""
    try:
        config = create_config(options.explicit_settings(settings))
        export = ExportConfig(
            resolve_format(output, format_, ExportConfig.format), sample_rate, bit_depth
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_registered(config)

    def make(model: PriorModel, report: Progress) -> Iterator[GenerationResult]:
        from distill_prior_gen.editing.code_maps import decode
        from distill_prior_gen.export.code_files import read_codes

        stored = read_codes(model, codes)
        yield decode(model, stored.codes, config, stored.samples, stored.trim_start, report)

    destination = Destination(output, export, force)
    run = RunOptions(device, as_json, progress, quiet)
    make_takes(model or demo_model(), make, 1, destination, run, [])
