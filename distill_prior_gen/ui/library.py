"""The models that a tab offers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from distill_prior_gen.description import describe_model

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel

SUFFIXES = (".distill", ".sda")
KEPT = 2
"""Models that stay loaded."""


def playable_models(folders: Iterable[Path]) -> dict[str, str]:
    """Paths of the models that can be sampled, newest first, and what to call them."""
    files = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and path.is_file()
    ]
    models = {}
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            description = describe_model(path)
        except (ValueError, OSError):
            continue
        if description["playable"]:
            perplexity = description["prior"]["perplexity"]
            parts = [
                description["name"],
                description["dataset"],
                f"perplexity {perplexity:.1f}" if perplexity else None,
            ]
            models[str(path)] = ", ".join(part for part in parts if part)
    return models


def loaded_model(path: str, device: str) -> PriorModel:
    """The model, loaded again only if the file has changed."""
    return _load(path, Path(path).stat().st_mtime_ns, device)


@lru_cache(KEPT)
def _load(path: str, changed: int, device: str) -> PriorModel:
    from distill_prior_gen.model import load_model

    return load_model(path, device)
