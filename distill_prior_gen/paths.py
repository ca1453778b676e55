"""Names for takes, and the sidecars beside them."""

from __future__ import annotations

import re
from pathlib import Path

from distill_prior_gen.config import ExportConfig


def sidecar_path(path: Path) -> Path:
    """Where the description of the take in `path` is kept."""
    return path.with_suffix(".json")


def existing(path: Path) -> Path | None:
    """The audio file or sidecar that would be overwritten by a take at `path`, if any."""
    return next((p for p in (path, sidecar_path(path)) if p.exists()), None)


def free_path(folder: Path, model_name: str, seed: int, export: ExportConfig) -> Path:
    """A path in `folder` that overwrites nothing, named after the model and the seed."""
    stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', model_name).strip('_')[:80] or 'take'}-{seed}"
    path, number = folder / f"{stem}.{export.format}", 2
    while existing(path):
        path, number = folder / f"{stem}-{number}.{export.format}", number + 1
    return path
