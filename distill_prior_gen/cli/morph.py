"""``distill-prior morph``: blend two sounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli.editing import (
    EditRequest,
    Pair,
    edit_options,
    levels_option,
    take_argument,
)
from distill_prior_gen.config import GenerationConfig, Progress

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult


class Amount(Pair):
    """One share, or those at the beginning and at the end."""

    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, str) and ":" in value:
            return super().convert(value, param, ctx)
        return click.FLOAT.convert(value, param, ctx)


@click.command()
@take_argument("first", "FIRST")
@take_argument("second", "SECOND")
@click.option(
    "--amount",
    type=Amount(),
    metavar="SHARE|START:END",
    default=0.5,
    show_default=True,
    help="0 is FIRST, 1 is SECOND; 0:1 moves from one to the other.",
)
@levels_option("Blend")
@edit_options
def morph(
    request: EditRequest,
    first: Path,
    second: Path,
    amount: float | tuple[float, float],
    levels: tuple[int, ...] | None,
) -> None:
    """Blend the codes of two takes or recordings.

    The result is as long as the shorter one. FIRST and SECOND are sidecars (TAKE.wav.json)
    or sound files.
    """

    def edit(
        model: PriorModel, take: GenerationResult, config: GenerationConfig, report: Progress
    ) -> GenerationResult:
        from distill_prior_gen.editing.transitions import morph
        from distill_prior_gen.export.opening import open_take

        return morph(model, take, open_take(model, second), amount, levels, config, report)

    request.make(first, edit)
