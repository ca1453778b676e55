"""``distill-prior redraw``: draw parts of a take again, or copy them from another."""

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
from distill_prior_gen.config import KEPT_AROUND_ONSETS_MS, GenerationConfig, Progress, Region

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult

BANDS = {"low": (0.0, 500.0), "mid": (500.0, 4000.0), "high": (4000.0, 1e6)}
"""Frequencies in Hz of the bands that have a name."""


class Band(Pair):
    """The name of a band, or its lowest and highest frequency."""

    name = "band"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return BANDS[value] if value in BANDS else super().convert(value, param, ctx)


class Mask(click.ParamType):  # type: ignore[type-arg]
    """``periodic:N`` or ``onsets[:MS]``."""

    name = "mask"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        kind, _, amount = value.partition(":")
        try:
            if kind == "onsets":
                return kind, float(amount) if amount else KEPT_AROUND_ONSETS_MS
            if kind == "periodic":
                return kind, int(amount)
        except ValueError:
            pass
        self.fail(f"{value!r} is not periodic:N, such as periodic:4, or onsets[:MS]", param, ctx)


@click.command()
@take_argument("take")
@click.option(
    "--span",
    "spans",
    type=Pair(),
    metavar="START:END",
    multiple=True,
    help="Seconds to draw again, such as 2.0:4.5; may be given several times.  [default: all, "
    "with --mask, --band or --levels]",
)
@click.option(
    "--band",
    type=Band(),
    metavar="low|mid|high|HZ:HZ",
    help="Draw only these frequencies again: low is below 500 Hz, high above 4000 Hz.",
)
@levels_option("Draw")
@click.option(
    "--mask",
    type=Mask(),
    metavar="periodic:N|onsets[:MS]",
    help="Keep every N-th column of the codes, or what sounds within MS milliseconds after each "
    f"onset ({KEPT_AROUND_ONSETS_MS:g}), and draw the rest.",
)
@click.option(
    "--swap",
    metavar="TAKE.wav.json|SOUND",
    type=click.Path(path_type=Path),
    help="Copy the spans from this take instead of drawing them.",
)
@edit_options
def redraw(
    request: EditRequest,
    take: Path,
    spans: tuple[tuple[float, float], ...],
    band: tuple[float, float] | None,
    levels: tuple[int, ...] | None,
    mask: tuple[str, float] | None,
    swap: Path | None,
) -> None:
    """Draw parts of a take or a recording again, so that they fit what is before and after.

    TAKE.wav.json is the sidecar of a take, which may have been edited before. Everything outside
    of the spans stays as it is. Settings that are not given are those of the take, except for the
    seed. 'distill-prior replay' makes the redrawn take again.
    """
    if not spans and not (band or levels or mask):
        raise click.UsageError("give a --span, or --band, --levels or --mask for the whole take")
    try:
        regions = [Region(start, end, band, levels, mask) for start, end in spans]
        Region(0, 1, band, levels, mask)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    def edit(
        model: PriorModel, take: GenerationResult, config: GenerationConfig, report: Progress
    ) -> GenerationResult:
        from distill_prior_gen.editing import takes
        from distill_prior_gen.export.opening import open_take

        chosen = regions or [Region(0, take.duration, band, levels, mask)]
        if swap:
            other = open_take(model, swap)
            return takes.swap(model, take, other, chosen, config, report)
        return takes.redraw(model, take, chosen, config, report)

    request.make(take, edit)
