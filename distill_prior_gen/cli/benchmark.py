"""``distill-prior benchmark``: time this package against a plain implementation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.demo import demo_model
from distill_prior_gen.progress import progress_bar


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "-d",
    "--duration",
    "durations",
    type=click.IntRange(min=1),
    multiple=True,
    help="Seconds of sound to make; may be given several times.  [default: 1, 10 and 30]",
)
@click.option(
    "--random",
    is_flag=True,
    help="Use a prior of 256 hidden x 4 layers with random weights instead of a MODEL.",
)
@click.option("--quality", is_flag=True, help="Compare the vocoders: their speed and their errors.")
@click.option(
    "--recordings",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --quality: also invert the mels of the audio files in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def benchmark(
    model: Path | None,
    durations: tuple[int, ...],
    random: bool,
    quality: bool,
    recordings: Path | None,
    as_json: bool,
) -> None:
    """Compare the time of each stage with that of a plain implementation.

    Without MODEL, the demo model is used.
    """
    if random and model:
        raise click.UsageError("--random goes without a MODEL")
    if recordings and not quality:
        raise click.UsageError("--recordings goes with --quality")
    with progress_bar(sys.stderr.isatty()) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.evaluation.benchmark import (
            compare_vocoders,
            random_model,
            run_benchmark,
        )
        from distill_prior_gen.model import load_model

        loaded = random_model() if random else load_model(model or demo_model())
        if quality:
            rows = compare_vocoders(loaded, durations or (10, 30), recordings, report)
        else:
            rows = run_benchmark(loaded, durations or (1, 10, 30), report)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if model is None and not random:
        click.echo("No MODEL was given: this is the demo model", err=True)
    for line in _vocoder_table(rows) if quality else _stage_table(rows):
        click.echo(line)


def _stage_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'seconds of sound':>16}  {'stage':<10}{'plain':>10}{'here':>10}{'ratio':>8}"]
    for row in rows:
        lines.append(
            f"{row['seconds']:>16}  {row['stage']:<10}{row['plain']:>8.2f} s{row['here']:>8.2f} s"
            f"{row['ratio']:>7.1f}x"
        )
    return lines


def _vocoder_table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines with a row for each vocoder; ratios to torchaudio are in brackets."""
    lines = [
        f"{'mels':<12}{'seconds':>7}  {'vocoder':<24}{'time':>16}{'L1':>15}{'convergence':>15}"
        f"{'onsets':>9}"
    ]
    for row in rows:
        lines.append(
            f"{row['mels']:<12}{row['seconds']:>7}  {row['vocoder']:<24}"
            f"{row['time']:>7.2f} s ({row['time_ratio']:.2f})"
            f"{row['l1']:>8.3f} ({row['l1_ratio']:.2f})"
            f"{row['convergence']:>8.3f} ({row['convergence_ratio']:.2f})"
            f"{row['onsets']:>9.3f}"
        )
    return lines
