"""``distill-prior info``: what is in a model file."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path, PurePath
from typing import Any

import click

LIST_WIDTH = 68
"""Characters of a line of a list."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")
@click.option("--card", is_flag=True, help="Print a model card in Markdown.")
def info(model: Path, as_json: bool, card: bool) -> None:
    """Show what is in MODEL, a .distill file, and whether it can be sampled."""
    from distill_prior_gen.checkpoint.card import model_card
    from distill_prior_gen.checkpoint.description import describe_model

    if card and as_json:
        raise click.UsageError("give --card or --json, not both")
    description = describe_model(model)
    if card:
        click.echo(model_card(description), nl=False)
        return
    if as_json:
        click.echo(json.dumps(description, indent=2))
        return
    for label, text in _lines(description):
        click.echo(f"{label:<12}{text}")


def _lines(description: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("Name", description["name"]),
        ("Version", f"{description['version']}"),
    ]
    if description["dataset"]:
        files = description["dataset_files"]
        lines.append(("Dataset", description["dataset"] + (f", {files} files" if files else "")))
    if description["chunk_s"]:
        rate, chunk = description["sample_rate"], description["chunk_s"]
        lines.append(("Sound", f"{rate} Hz, chunks of {chunk:g} s"))
    if codebook := description["codebook"]:
        grid = f"{codebook['rows']} bands x {codebook['columns']} steps a chunk"
        lines.append(("Codes", f"{codebook['size']} codes x {codebook['levels']} levels, {grid}"))
        for level, health in enumerate(codebook["health"] or []):
            used = f"{health['utilization']:.0%} used, perplexity {health['perplexity']:.1f}"
            lines.append((f"  level {level}", f"{used}, {health['dead_codes']:.0f} dead"))
    if prior := description["prior"]:
        shape = f"{prior['hidden_size']} hidden x {prior['layers']} layers, {prior['heads']} heads"
        lines.append(("Prior", f"{shape}, {prior['parameters'] / 1e6:.2f} million parameters"))
        if prior["perplexity"] is not None:
            epochs = f" after {prior['epochs']} epochs" if prior["epochs"] else ""
            lines.append(("Perplexity", f"{prior['perplexity']:.2f}{epochs}"))
    lines += _timeline(description)
    lines += _vocoder(description)
    playable = "yes" if description["playable"] else f"no: {description['reason']}"
    return [*lines, ("Playable", playable)]


def _timeline(description: dict[str, Any]) -> list[tuple[str, str]]:
    """What draws the codes of takes beside the prior."""
    if fault := description["timeline_fault"]:
        return [("Timeline", f"cannot be used: {fault}")]
    timeline = description["timeline"]
    if timeline is None:
        return [("Timeline", "none; 'distill-prior train-timeline' trains one")]
    text = f"remembers {timeline['memory_s']:.1f} s, {timeline['parameters'] / 1e6:.2f} million"
    lines = [("Timeline", f"{text} parameters")]
    names = dict.fromkeys(PurePath(name).stem for name in timeline["recording_names"])
    rows = textwrap.wrap(", ".join(names), LIST_WIDTH)
    return lines + [("" if number else "  like", row) for number, row in enumerate(rows)]


def _vocoder(description: dict[str, Any]) -> list[tuple[str, str]]:
    """What plays the takes of a model."""
    if fault := description["vocoder_fault"]:
        return [("Vocoder", f"mel-griffin-lim, since the trained one cannot be used: {fault}")]
    vocoder = description["vocoder"]
    if vocoder is None:
        return [("Vocoder", "mel-griffin-lim; 'distill-prior train-vocoder' trains one")]
    lines = [("Vocoder", f"trained, {vocoder['parameters'] / 1e6:.2f} million parameters")]
    distance, reference = vocoder["distance_db"], vocoder["mel_griffin_lim_distance_db"]
    if distance is not None and reference is not None:
        text = f"{distance:.2f} dB from the recordings, {reference:.2f} dB with mel-griffin-lim"
        lines.append(("  held out", text))
    return lines
