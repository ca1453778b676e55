"""``distill-prior evaluate``: how close takes come to the recordings of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import shows_progress
from distill_prior_gen.cli.training_report import describe_skipped, print_note, refuse_existing
from distill_prior_gen.config import GENERATION_LIMITS, GenerationConfig, partial_progress
from distill_prior_gen.progress import progress_bar

PAIRED = {
    "log_spectral_db": ("log-spec dB", 2),
    "convergence": ("converg.", 3),
    "mel_error": ("mel", 3),
    "onsets": ("onsets", 3),
    "flatness_db": ("flatness dB", 2),
}
UNPAIRED = {
    "kernel": ("kernel", 1),
    "frechet": ("Frechet", 1),
    "density": ("density", 2),
    "coverage": ("coverage", 2),
    "flatness": ("flatness", 2),
    "variation": ("variation", 2),
    "recordings_early": ("early", 1),
    "recordings_late": ("late", 1),
    "recordings": ("of", 1),
}
"""Columns of the tables: heading and number of decimals of each figure."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--takes", type=click.IntRange(1, 1000), default=24, show_default=True, help="Number of takes."
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
    "--sampler",
    "samplers",
    multiple=True,
    metavar="NAME",
    default=[GenerationConfig.sampler],
    show_default=True,
    help="Method to draw codes. May be given several times.",
)
@click.option(
    "--vocoder",
    "vocoders",
    multiple=True,
    metavar="NAME",
    default=[GenerationConfig.vocoder],
    show_default=True,
    help="Method to turn spectra into sound. May be given several times.",
)
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
    help="Picture to write.  [default: NAME-evaluation.png next to MODEL]",
)
@options.device
@click.option("--force", is_flag=True, help="Overwrite an existing picture.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@options.progress
@options.quiet
def evaluate(
    model: Path,
    folder: Path,
    takes: int,
    duration: float,
    temperature: float,
    samplers: Sequence[str],
    vocoders: Sequence[str],
    seed: int,
    output: Path | None,
    device: str,
    force: bool,
    as_json: bool,
    progress: bool | None,
    quiet: bool,
) -> None:
    """Measure how close takes from MODEL come to FOLDER, the recordings it was trained on.

    The first table compares recordings with what becomes of their codes, the second one the
    seconds of takes with those of the recordings. It begins with two halves of the recordings,
    as close as takes can be expected to come, and ends with white noise; 'torchaudio' is how the
    Distill app sounds. The last line says whether takes copy recordings.
    """
    picture = output or model.with_name(f"{model.stem}-evaluation.png")
    if not force:
        refuse_existing(picture)
    config = GenerationConfig(duration=duration, temperature=temperature, seed=seed)
    with progress_bar(shows_progress(progress, quiet)) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.evaluation.closeness import measure_closeness
        from distill_prior_gen.evaluation.closeness_picture import plot_closeness
        from distill_prior_gen.model import load_model
        from distill_prior_gen.training.data import read_dataset

        loaded = load_model(model, device)
        checkpoint, stage = loaded.checkpoint, partial_progress(report, 0.0, 0.05)
        dataset = read_dataset(folder, checkpoint.spectrogram, checkpoint.chunk_duration, stage)
        stage = partial_progress(report, 0.05, 1.0)
        result = measure_closeness(loaded, dataset, config, takes, samplers, vocoders, stage)
        plot_closeness(picture, result, loaded.spectrogram, overwrite=force)
    for text in describe_skipped(dataset):
        print_note(text, quiet)
    summary = {**result.summary, "picture": str(picture)}
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    for line in _lines(summary):
        click.echo(line)


def _lines(summary: dict[str, Any]) -> list[str]:
    paired = [
        {"name": f"{row['recordings']}, {row['vocoder']}", **row} for row in summary["paired"]
    ]
    unpaired = [{"name": row["sound"], **row} for row in summary["unpaired"]]
    return [
        *_table("recordings through their codes", paired, PAIRED),
        "",
        *_table("compared with the recordings", unpaired, UNPAIRED),
        "",
        *(_novelty(name, novelty) for name, novelty in summary["novelty"].items()),
    ]


def _table(
    title: str, rows: list[dict[str, Any]], columns: dict[str, tuple[str, int]]
) -> list[str]:
    """Lines with a row for each set of sounds; figures that a row lacks stay empty."""
    width = max(len(title), *(len(row["name"]) for row in rows)) + 1
    lines = [title.ljust(width) + "".join(f"{head:>12}" for head, _ in columns.values())]
    for row in rows:
        cells = [
            f"{row[key]:>12.{decimals}f}" if key in row else " " * 12
            for key, (_, decimals) in columns.items()
        ]
        lines.append((row["name"].ljust(width) + "".join(cells)).rstrip())
    return lines


def _novelty(sampler: str, novelty: dict[str, Any]) -> str:
    line = (
        f"{sampler}: {novelty['copies']:.0%} of {novelty['chunks']} chunks are copies, "
        f"{novelty['outliers']:.0%} unlike any recording"
    )
    if not novelty["recordings"]:  # all are the same sound
        return line
    equal, usual = (novelty[x]["equal_codes"]["median"] for x in ("takes", "recordings"))
    return (
        f"{line}; {equal:.0%} of the codes equal those of the nearest chunk (between recordings "
        f"{usual:.0%})"
    )
