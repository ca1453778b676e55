"""``distill-prior benchmark``: this package's way beside the plain one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from distill_prior_gen.cli.progress import progress_bar


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "-d",
    "--duration",
    "durations",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 10, 30),
    show_default=True,
    help="Seconds of sound to make; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def benchmark(model: Path | None, durations: tuple[int, ...], as_json: bool) -> None:
    """Time each stage next to the plain way of doing it.

    Without MODEL, a prior of 256 hidden x 4 layers with random weights is taken.
    """
    with progress_bar(sys.stderr.isatty()) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.benchmark import random_model, run_benchmark
        from distill_prior_gen.model import load_model

        loaded = load_model(model) if model else random_model()
        rows = run_benchmark(loaded, durations, report)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo(f"{'seconds of sound':>16}  {'stage':<10}{'plain':>10}{'here':>10}{'ratio':>8}")
    for row in rows:
        click.echo(
            f"{row['seconds']:>16}  {row['stage']:<10}{row['plain']:>8.2f} s{row['here']:>8.2f} s"
            f"{row['ratio']:>7.1f}x"
        )
