"""Names for takes, their sidecars, and the copies of their prompts."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

from distill_prior_gen.config import ExportConfig

LONGEST = 255
"""Bytes in the longest name that common file systems have."""


def sidecar_path(path: Path) -> Path:
    """Where the description of the take in `path` is kept: ``take.wav.json`` for ``take.wav``."""
    name = f"{path.name}.json"
    if len(os.fsencode(name)) > LONGEST:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        name = f"{_cut(path.stem, 200)}-{digest}{path.suffix}.json"
    return path.with_name(name)


def prompt_path(path: Path, prompt: Path, sha256: str) -> Path:
    """Where the prompt of the take in `path` is kept, once for all takes with this prompt."""
    ending = f"-{sha256[:16]}"
    stem = _cut(prompt.stem.removesuffix(ending), 150)
    return path.parent / "prompts" / f"{stem}{ending}{_cut(prompt.suffix, 16)}"


def existing(path: Path) -> Path | None:
    """The audio file or sidecar that would be overwritten by a take at `path`, if any."""
    return next((p for p in (path, sidecar_path(path)) if os.path.lexists(p)), None)


def free_path(folder: Path, model_name: str, seed: int, export: ExportConfig) -> Path:
    """A path in `folder` that overwrites nothing, named after the model and the seed."""
    stem = f"{_name(model_name) or 'take'}-{seed}"
    path, number = folder / f"{stem}.{export.format}", 2
    while existing(path):
        path, number = folder / f"{stem}-{number}.{export.format}", number + 1
    return path


def _name(text: str) -> str:
    """Letters, marks and digits of any script, with "_" for everything between them."""
    text = "".join(
        character
        if character.isalnum() or character in "-_" or unicodedata.category(character)[0] == "M"
        else " "
        for character in unicodedata.normalize("NFC", text)
    )
    return _cut("_".join(text.split()).strip("_"), 120)


def _cut(text: str, length: int) -> str:
    """The beginning of a text that takes up at most so many bytes in a file name."""
    return os.fsencode(text)[:length].decode("utf-8", "ignore")
