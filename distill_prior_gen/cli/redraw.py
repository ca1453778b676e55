"""``distill-prior redraw``: draw parts of a take again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.destination import Destination
from distill_prior_gen.cli.former_takes import FormerTake
from distill_prior_gen.cli.running import (
    RunOptions,
    check_registered,
    create_config,
    make_takes,
)
from distill_prior_gen.config import Edit, Region

BANDS = {"low": (0.0, 500.0), "mid": (500.0, 4000.0), "high": (4000.0, 1e6)}
"""Frequencies in Hz of the bands that have a name."""

LEVELS = {"structure": 0, "timbre": 1, "detail": 2}


class Span(click.ParamType):  # type: ignore[type-arg]
    """Two numbers, ``A:B``."""

    name = "a:b"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            start, end = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not A:B, such as 2.0:4.5", param, ctx)
        return start, end


class Band(Span):
    """The name of a band, or its lowest and highest frequency."""

    name = "band"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return BANDS[value] if value in BANDS else super().convert(value, param, ctx)


class Levels(click.ParamType):  # type: ignore[type-arg]
    """Names or numbers of levels with commas between them."""

    name = "levels"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return tuple(LEVELS[n] if n in LEVELS else int(n) for n in value.split(","))
        except ValueError:
            names = ", ".join(LEVELS)
            self.fail(f"{value!r} is not a list of {names} or numbers", param, ctx)


@click.command()
@click.argument("sidecar", metavar="TAKE.wav.json", type=click.Path(path_type=Path))
@click.option(
    "--span",
    "spans",
    type=Span(),
    metavar="START:END",
    multiple=True,
    required=True,
    help="Seconds to draw again, such as 2.0:4.5; may be given several times.",
)
@click.option(
    "--band",
    type=Band(),
    metavar="low|mid|high|HZ:HZ",
    help="Draw only these frequencies again: low is below 500 Hz, high above 4000 Hz.",
)
@click.option(
    "--levels",
    type=Levels(),
    metavar="LEVEL[,LEVEL...]",
    help="Draw only these levels again: structure, timbre, detail, or their numbers from 0.",
)
@options.output
@click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    help="Model to use.  [default: the file that the take was made with]",
)
@options.take(show_default=False, names=options.DRAWING)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of alternatives, with the seeds SEED, SEED + 1 and so on.",
)
@options.format_
@options.sample_rate
@options.bit_depth
@options.device
@options.force
@options.as_json
@options.progress
@options.quiet
def redraw(
    sidecar: Path,
    spans: tuple[tuple[float, float], ...],
    band: tuple[float, float] | None,
    levels: tuple[int, ...] | None,
    output: str,
    model: Path | None,
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
    """Draw parts of a take again, so that they fit what is before and after.

    The take is made again from its sidecar, TAKE.wav.json, which may have been redrawn before.
    Everything outside of the spans stays as it is. Settings that are not given are those of the
    take, except for the seed. 'distill-prior replay' makes the redrawn take again.
    """
    from distill_prior_gen.sampling.random_streams import new_seed

    former = FormerTake.read(sidecar, model)
    changes = {"seed": new_seed()} | options.explicit_settings(settings)
    try:
        config, drawn = create_config(former.config), create_config(former.config | changes)
        regions = tuple(Region(start, end, band, levels) for start, end in spans)
        export = former.export(output, format_, sample_rate, bit_depth)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_registered(drawn)
    destination = Destination(output, export, force)
    run = RunOptions(device, as_json, progress, quiet)
    take = former.sidecar
    edits = (*take.read_edits(), Edit(regions, drawn))
    make_takes(former.model, config, count, destination, run, [], original=take, edits=edits)
