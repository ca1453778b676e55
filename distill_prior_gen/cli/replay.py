"""``distill-prior replay``: make a take again from its sidecar."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.takes import Output, check_names, chosen_format, make_takes
from distill_prior_gen.config import SAMPLE_RATES, ExportConfig, GenerationConfig
from distill_prior_gen.demo import demo_model

TEXT, TABLE, OPTIONAL_NUMBER = str, dict, (int, type(None))
PARTS: dict[str, list[tuple[str, Any]]] = {
    "": [
        ("model", TABLE),
        ("config", TABLE),
        ("tags", TABLE),
        ("format", TEXT),
        ("sample_rate", int),
        ("bit_depth", OPTIONAL_NUMBER),
    ],
    "model": [("path", TEXT), ("sha256", TEXT)],
    "prompt": [("path", TEXT), ("sha256", TEXT)],
}
"""What a sidecar has to have, and of what type."""

TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright", "license", "software")
"""Tags that a take may have."""


@click.command()
@click.argument("sidecar", metavar="TAKE.json", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File to write (the suffix sets the format) or folder for files named after model "
    "and seed.  [default: the current folder]",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model to take.  [default: the file that the take was made with]",
)
@options.take(show_default=False)
@options.format_
@options.sample_rate
@options.bit_depth
@options.device
@options.force
@options.as_json
@options.progress
@options.quiet
def replay(
    sidecar: Path,
    output: Path,
    model: Path | None,
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
    """Make a take again from TAKE.json, which lies beside it.

    On the same machine it is the same, bit for bit. Options take the place of what the file
    says: '--duration 30' goes on with the same music, '--seed' makes another like it.
    """
    changes = options.given(settings)
    take = _read(sidecar)
    expected = {"model": take["model"]["sha256"]}
    model = model or _find(sidecar, take["model"]["path"], "--model")
    config = dict(take["config"])
    if config.get("prompt") and "prompt" not in changes:
        config["prompt"] = str(_find(sidecar, take["prompt"]["path"], "--prompt"))
        expected["prompt"] = take["prompt"]["sha256"]
    if unknown := config.keys() - {field.name for field in fields(GenerationConfig)}:
        raise ValueError(
            f"{sidecar} has settings that this version does not know "
            f"({', '.join(sorted(unknown))}); install a newer one"
        )
    try:
        changed = GenerationConfig(**config | changes)
        chosen = chosen_format(output, format_, take["format"])
        if sample_rate is None and take["sample_rate"] in SAMPLE_RATES:
            sample_rate = take["sample_rate"]
        if bit_depth is None and chosen == take["format"]:
            bit_depth = take["bit_depth"]
        export = ExportConfig(chosen, sample_rate, bit_depth)
    except ValueError as error:
        raise click.UsageError(f"{sidecar}: {error}") from error
    check_names(changed)
    to = Output(output, export, force)
    make_takes(model, changed, 1, to, device, as_json, progress, quiet, [], take["tags"], expected)


def _read(sidecar: Path) -> dict[str, Any]:
    """What a sidecar says.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no sidecar.
    """
    try:
        take = json.loads(sidecar.read_text(encoding="utf-8"))
        for part, keys in PARTS.items():
            entry = take[part] if part else take
            if entry is not None and not all(isinstance(entry[key], kind) for key, kind in keys):
                raise TypeError
        if take["config"].get("prompt") and not take["prompt"]:
            raise TypeError
        if not all(name in TAGS and isinstance(tag, str) for name, tag in take["tags"].items()):
            raise TypeError
        return take
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{sidecar} does not describe a take; give the .json beside an audio file that "
            "distill-prior wrote"
        ) from error


def _find(sidecar: Path, file: str, option: str) -> Path:
    """A file that a sidecar names, seen from its folder; the demo model wherever it is."""
    path = sidecar.parent / file
    if path.exists():
        return path
    if path.name == demo_model().name:
        return demo_model()
    raise FileNotFoundError(f"{path} is not there any more; give it with {option}")
