"""``distill-prior benchmark``: this package's way beside the plain one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
def benchmark(model: Path | None) -> None:
    """Time sampling, decoding and inversion of MODEL, next to the plain way of doing each."""
