"""``distill-prior sample``: make takes and write them to files."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.config import (
    FORMATS,
    JOINS,
    LIMITS,
    QUALITIES,
    SAMPLE_RATES,
    ExportConfig,
    GenerationConfig,
)
from distill_prior_gen.demo import demo_model
from distill_prior_gen.paths import existing, free_path
from distill_prior_gen.plugins import choose, samplers, vocoders


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File to write (the suffix sets the format) or folder for files named after model "
    "and seed.  [default: the current folder]",
)
@options.temperature
@click.option(
    "--top-p",
    type=click.FloatRange(*LIMITS["top_p"]),
    default=GenerationConfig.top_p,
    show_default=True,
    help="Draw from the likeliest codes that make up this share of probability; 0 is off.",
)
@click.option(
    "--top-k",
    type=click.IntRange(*LIMITS["top_k"]),
    default=GenerationConfig.top_k,
    show_default=True,
    help="Draw from this many of the likeliest codes; 0 is off.",
)
@click.option(
    "--min-p",
    type=click.FloatRange(*LIMITS["min_p"]),
    default=GenerationConfig.min_p,
    show_default=True,
    help="Draw from codes that are at least this likely by the likeliest; 0 is off.",
)
@click.option(
    "-d",
    "--duration",
    type=click.FloatRange(min=LIMITS["duration"][0]),
    default=GenerationConfig.duration,
    show_default=True,
    help=f"Length in seconds, up to {LIMITS['duration'][1]:g}.",
)
@click.option("--allow-long", is_flag=True, help="Lift the maximum of --duration.")
@click.option(
    "--overlap",
    type=click.FloatRange(*LIMITS["overlap"]),
    default=GenerationConfig.overlap,
    show_default=True,
    help="Crossfade between one-second chunks in milliseconds.",
)
@click.option(
    "--join",
    type=click.Choice(JOINS),
    default=GenerationConfig.join,
    show_default=True,
    help="Join chunks as spectra, with one phase throughout, or crossfade their waveforms.",
)
@click.option(
    "--sampler",
    default=GenerationConfig.sampler,
    show_default=True,
    metavar="NAME",
    help="How codes are drawn; 'distill-prior plugins' lists samplers and vocoders.",
)
@click.option(
    "--vocoder",
    default=GenerationConfig.vocoder,
    show_default=True,
    metavar="NAME",
    help="How spectra become sound.",
)
@click.option(
    "--quality",
    type=click.Choice(QUALITIES),
    default=GenerationConfig.quality,
    show_default=True,
    help="How long the vocoder works.",
)
@click.option(
    "-s",
    "--seed",
    type=click.IntRange(*LIMITS["seed"]),
    help="The same seed gives the same take.  [default: a new one]",
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of takes, with the seeds SEED, SEED + 1 and so on.",
)
@click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Audio file format.  [default: wav, or the suffix of --output]",
)
@click.option(
    "--sample-rate",
    type=int,
    metavar="|".join(map(str, SAMPLE_RATES)),
    help="Resample to this rate in Hz.  [default: the model's]",
)
@click.option(
    "--bit-depth",
    type=int,
    metavar="16|24|32",
    help="Bits a sample for wav and flac; 32 is float, for wav.  [default: 24]",
)
@options.device
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON description of the takes.")
@options.progress
@options.quiet
def sample(
    model: Path | None,
    output: Path,
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
    """Make takes from MODEL, a .distill file with a prior, or from the demo model.

    Prints the paths of the takes. Beside each, NAME.json says how to make it again.
    """
    to_file = output.suffix != "" and not output.is_dir()
    try:
        config = GenerationConfig(**settings)
        export = ExportConfig(_format(output if to_file else None, format_), sample_rate, bit_depth)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    paths = _numbered(output, count) if to_file else None
    for path in paths or []:
        if not force and (taken := existing(path)):
            raise FileExistsError(f"{taken} exists; choose another name or add --force")
    try:
        choose("sampler", config.sampler, samplers())
        choose("vocoder", config.vocoder, vocoders())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)

    notes: list[str] = []
    if model is None:
        model = demo_model()
        notes.append("No MODEL was given: this is the demo model")
    start = time.perf_counter()
    with progress_bar(show) as report:
        report(0.0, "Loading the model...")
        from distill_prior_gen.audio.files import write_take
        from distill_prior_gen.generation import generate_takes
        from distill_prior_gen.model import load_model

        loaded = load_model(model, device)
        load_time = time.perf_counter() - start
        takes = []
        for index, result in enumerate(generate_takes(loaded, config, count, report)):
            path = paths[index] if paths else free_path(output, loaded.name, result.seed, export)
            path.parent.mkdir(parents=True, exist_ok=True)
            written = write_take(result, loaded.identity, path, export, overwrite=force)
            timings = {"load": load_time, **result.timings}
            timings = {stage: round(seconds, 3) for stage, seconds in timings.items()}
            takes.append({"path": str(path), **written, "timings": timings})
            if written["gain"] < 1:
                notes.append(f"{path} was scaled by {written['gain']:.2f} so that it does not clip")
    elapsed = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(takes[0] if count == 1 else takes, indent=2))
    else:
        for take in takes:
            click.echo(take["path"])
    if show:
        seeds = ", ".join(str(take["seed"]) for take in takes)
        notes.append(f"seed {seeds}; {count * config.duration:g} s in {elapsed:.1f} s")
    for note in () if quiet else notes:
        click.echo(note, err=True)


def _format(file: Path | None, chosen: str | None) -> str:
    """The format that the suffix of the file and ``--format`` agree on."""
    if file is None:
        return chosen or ExportConfig.format
    suffix = file.suffix[1:].lower()
    if suffix not in FORMATS:
        raise ValueError(f"--output must end in one of .{', .'.join(FORMATS)}, not {file.suffix}")
    if chosen not in (None, suffix):
        raise ValueError(f"--format is {chosen}, but --output ends in {file.suffix}")
    return suffix


def _numbered(output: Path, count: int) -> list[Path]:
    if count == 1:
        return [output]
    return [output.with_stem(f"{output.stem}-{take}") for take in range(1, count + 1)]
