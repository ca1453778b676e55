"""``distill-prior replay``: make a take again from its sidecar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.former_takes import FormerTake
from distill_prior_gen.cli.running import (
    check_registered,
    create_config,
    make_takes,
)
from distill_prior_gen.cli.writing import Writing, output, writing_options
from distill_prior_gen.config import Progress

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@click.command()
@click.argument("sidecar", metavar="TAKE.wav.json", type=click.Path(path_type=Path))
@output
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model to use.  [default: the file that the take was made with]",
)
@options.take(show_default=False)
@writing_options
def replay(
    writing: Writing,
    sidecar: Path,
    model: Path | None,
    **settings: Any,
) -> None:
    """Make a take again from its sidecar, TAKE.wav.json.

    On the same machine it is the same, bit for bit. Options replace the settings in the file:
    '--duration 30' continues the same music, '--seed' makes a similar take. Of an edited take,
    only --vocoder, --quality and --width can be replaced.
    """
    changes = options.explicit_settings(settings)
    former = FormerTake.find(sidecar, model)
    if former.sidecar is None:
        raise click.UsageError(f"{sidecar} is not a sidecar, TAKE.wav.json")
    given = former.settings(changes)
    try:
        config = create_config(given)
    except ValueError as error:
        raise click.UsageError(f"{sidecar}: {error}") from error
    check_registered(config)
    destination = writing.destination(former.sidecar)

    def make(model: PriorModel, report: Progress) -> Iterator[GenerationResult]:
        from distill_prior_gen.export.opening import open_take

        yield open_take(model, sidecar, report, **changes)

    original = former.sidecar
    if "prompt" in changes:
        original = replace(original, prompt=None)
    make_takes(former.model, make, 1, destination, writing, [], original)
