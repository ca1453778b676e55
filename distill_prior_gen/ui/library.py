"""The models that a tab offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from distill_prior_gen.demo import demo_model
from distill_prior_gen.description import describe_model

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel

SUFFIXES = (".distill", ".sda")
DEMO = "demo"
KEPT = 2
"""Models that stay loaded."""


@dataclass(frozen=True)
class Entry:
    """A model file, playable or not.

    Attributes:
        path: of the file.
        label: what to call it, with dataset and perplexity.
        reason: why it cannot be played, None if it can.
        codebook_size: codes a level, if the file says.
    """

    path: Path
    label: str
    reason: str | None
    codebook_size: int | None = None


def find_models(
    folders: Iterable[Path], uploads: dict[str, Path] | None = None
) -> dict[str, Entry]:
    """Models by an identifier that tells nothing of where they are.

    Args:
        folders: to look in; what is missing is passed over.
        uploads: further files by their identifiers.

    Returns:
        Uploads, then the models of the folders, newest first, then those that cannot be
        played, and last the demo model.
    """
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and path.is_file()
    ]
    files = dict(reversed(uploads.items())) if uploads else {}
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        identifier, number = path.name, 2
        while identifier in files:
            identifier, number = f"{path.name} ({number})", number + 1
        files[identifier] = path
    entries = {identifier: entry(path, identifier) for identifier, path in files.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: item[1].reason is not None))
    return ordered | {DEMO: entry(demo_model(), DEMO)}


def entry(path: Path, identifier: str) -> Entry:
    """What is known of one file."""
    try:
        changed = path.stat()
        return _entry(path, identifier, changed.st_mtime_ns, changed.st_size)
    except OSError as error:
        return Entry(path, f"{identifier} (cannot be played)", f"{identifier}: {error.strerror}")


@lru_cache(1024)
def _entry(path: Path, identifier: str, changed: int, size: int) -> Entry:
    try:
        description = describe_model(path)
    except ValueError as error:
        reason = str(error).replace(str(path), identifier)
        return Entry(path, f"{identifier} (cannot be played)", reason)
    if not description["playable"]:
        reason = description["reason"].replace(str(path), identifier)
        return Entry(path, f"{description['name']} (cannot be played)", reason)
    perplexity = description["prior"]["perplexity"]
    parts = [
        description["name"],
        description["dataset"],
        f"perplexity {perplexity:.1f}" if perplexity else None,
    ]
    label = ", ".join(part for part in parts if part)
    return Entry(path, label, None, description["codebook"]["size"])


def loaded_model(path: Path, device: str) -> PriorModel:
    """The model, loaded again only if the file has changed."""
    return _load(path, path.stat().st_mtime_ns, device)


@lru_cache(KEPT)
def _load(path: Path, changed: int, device: str) -> PriorModel:
    from distill_prior_gen.model import load_model

    return load_model(path, device)
