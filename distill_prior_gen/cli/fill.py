"""``distill-prior fill``: lead over from one sound to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distill_prior_gen.cli.editing import EditRequest, edit_options, take_argument
from distill_prior_gen.config import GAP_LIMITS, GenerationConfig, Progress

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


@click.command()
@take_argument("first", "FIRST")
@take_argument("second", "SECOND")
@click.option(
    "-d",
    "--duration",
    type=click.FloatRange(*GAP_LIMITS),
    default=5.0,
    show_default=True,
    help="Length of the new sound in seconds.",
)
@edit_options
def fill(request: EditRequest, first: Path, second: Path, duration: float) -> None:
    """Make a sound that leads from one take or recording to another.

    The result is FIRST, the new sound, and SECOND. FIRST and SECOND are sidecars (TAKE.wav.json)
    or sound files.
    """

    def edit(
        model: PriorModel, take: GenerationResult, config: GenerationConfig, report: Progress
    ) -> GenerationResult:
        from distill_prior_gen.editing.transitions import fill
        from distill_prior_gen.export.opening import open_take

        return fill(model, take, open_take(model, second), duration, config, report)

    request.make(first, edit)
