"""``distill-prior decode``: make sound of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.running import check_registered, create_config, make_takes
from distill_prior_gen.cli.writing import Writing, output, writing_options
from distill_prior_gen.config import Progress
from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@click.command()
@click.argument("codes", metavar="CODES.npz", type=click.Path(path_type=Path))
@output
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    help="The model of the codes.  [default: the demo model]",
)
@options.take(show_default=False, names=("vocoder", "quality", "seed"))
@writing_options
def decode(
    writing: Writing,
    codes: Path,
    model: Path | None,
    **settings: Any,
) -> None:
    """Make sound of codes that 'distill-prior encode' wrote, or that you have changed."""
    try:
        config = create_config(options.explicit_settings(settings))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_registered(config)

    def make(model: PriorModel, report: Progress) -> Iterator[GenerationResult]:
        from distill_prior_gen.editing.code_maps import decode
        from distill_prior_gen.export.code_files import read_codes

        stored = read_codes(model, codes)
        yield decode(model, stored.codes, config, stored.samples, stored.trim_start, report)

    make_takes(model or demo_model(), make, 1, writing.destination(), writing, [])
