"""``distill-prior novelty``: compare takes with the recordings of a model."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.cli.training_report import (
    describe_skipped,
    partial_progress,
    print_note,
    refuse_existing,
)
from distill_prior_gen.config import GENERATION_LIMITS, GenerationConfig


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--takes", type=click.IntRange(1, 1000), default=4, show_default=True, help="Number of takes."
)
@click.option(
    "-d",
    "--duration",
    type=click.FloatRange(*GENERATION_LIMITS["duration"]),
    default=GenerationConfig.duration,
    show_default=True,
    help="Length of a take in seconds.",
)
@options.temperature
@click.option(
    "-s",
    "--seed",
    type=click.IntRange(*GENERATION_LIMITS["seed"]),
    default=0,
    show_default=True,
    help="Seed of the first take.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG with histograms.  [default: NAME-novelty.png next to MODEL]",
)
@click.option("--force", is_flag=True, help="Overwrite an existing PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def novelty(
    model: Path,
    folder: Path,
    takes: int,
    duration: float,
    temperature: float,
    seed: int,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compare takes from MODEL with FOLDER, the recordings it was trained on.

    Each generated chunk is compared with the nearest chunk of the recordings, by the fraction of
    equal codes and by the mean difference of the decoded log-mels. The same comparison between
    each recording and all others shows what is usual: takes with more equal codes are copies,
    takes at a greater mel distance are unlike the recordings.
    """
    picture = output or model.with_name(f"{model.stem}-novelty.png")
    if not force:
        refuse_existing(picture)
    config = GenerationConfig(duration=duration, temperature=temperature, seed=seed)
    with progress_bar(sys.stderr.isatty()) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.evaluation.novelty import measure_novelty, plot_novelty
        from distill_prior_gen.model import load_model
        from distill_prior_gen.training.data import read_dataset

        loaded = load_model(model)
        chunk_duration = Fraction(loaded.chunk_samples, loaded.sample_rate)
        dataset = read_dataset(
            folder, loaded.spectrogram, chunk_duration, partial_progress(report, 0.0, 0.1)
        )
        result = measure_novelty(loaded, dataset, takes, config, partial_progress(report, 0.1, 1.0))
        plot_novelty(picture, result, overwrite=force)
    for text in describe_skipped(dataset):
        print_note(text, quiet=False)
    summary = {**result.summary, "picture": str(picture)}
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    for line in _table(summary):
        click.echo(line)


def _table(summary: dict[str, Any]) -> list[str]:
    lines = [f"{'to the nearest chunk':<32}{'lowest':>8}{'median':>8}{'highest':>9}"]
    for measure, label in (("equal_codes", "equal codes"), ("mel_distance", "mel distance")):
        for group, name in (("takes", "takes"), ("recordings", "between recordings")):
            low, middle, high = summary[group][measure].values()
            lines.append(f"{f'{label}, {name}':<32}{low:>8.3f}{middle:>8.3f}{high:>9.3f}")
    return [
        *lines,
        f"{summary['copies']:.0%} of {summary['chunks']} chunks are copies, "
        f"{summary['outliers']:.0%} unlike any recording",
    ]
