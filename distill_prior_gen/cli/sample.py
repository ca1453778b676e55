"""``distill-prior sample``: make takes and write them to files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.running import (
    check_registered,
    create_config,
    make_takes,
)
from distill_prior_gen.cli.writing import Writing, output, writing_options
from distill_prior_gen.config import Progress
from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@output
@options.take(show_default=True)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of takes, with the seeds SEED, SEED + 1 and so on.",
)
@writing_options
def sample(
    writing: Writing,
    model: Path | None,
    count: int,
    **settings: Any,
) -> None:
    """Make takes from MODEL, a .distill file with a prior, or from the demo model.

    Prints the paths of the takes. Next to each, NAME.wav.json describes how to make it
    again with 'distill-prior replay NAME.wav.json'. Without --seed, a new seed is chosen.
    """
    try:
        config = create_config(options.explicit_settings(settings))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_registered(config)
    destination = writing.destination()
    notes = [] if model else ["No MODEL was given: this is the demo model"]

    def make(model: PriorModel, report: Progress) -> Iterator[GenerationResult]:
        from distill_prior_gen.generation import generate_takes

        return generate_takes(model, config, count, report)

    make_takes(model or demo_model(), make, count, destination, writing, notes)
