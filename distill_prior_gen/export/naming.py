"""Names for takes, their sidecars, and the copies of their prompts."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

from distill_prior_gen.formats import ExportConfig

MAX_NAME_BYTES = 255
"""Length of the longest name that common file systems allow."""


def sidecar_path(path: Path) -> Path:
    """The sidecar of the take in `path`: ``take.wav.json`` for ``take.wav``."""
    name = f"{path.name}.json"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        name = f"{_cut(path.stem, 200)}-{digest}{path.suffix}.json"
    return path.with_name(name)


def prompt_path(path: Path, prompt: Path, sha256: str) -> Path:
    """The copy of the prompt of the take in `path`, one for all takes with this prompt."""
    ending = f"-{sha256[:16]}"
    stem = _cut(prompt.stem.removesuffix(ending), 150)
    return path.parent / "prompts" / f"{stem}{ending}{_cut(prompt.suffix, 16)}"


def existing(path: Path) -> Path | None:
    """The audio file or sidecar that would be overwritten by a take at `path`, if any."""
    return next((p for p in (path, sidecar_path(path)) if os.path.lexists(p)), None)


def free_path(folder: Path, model_name: str, seed: int, export: ExportConfig) -> Path:
    """A path in `folder` that does not exist yet, named after the model and the seed."""
    stem = f"{_name(model_name) or 'take'}-{seed}"
    path, number = folder / f"{stem}.{export.format}", 2
    while existing(path):
        path, number = folder / f"{stem}-{number}.{export.format}", number + 1
    return path


def _name(text: str) -> str:
    """A text with letters, marks and digits of any script, and "_" for everything else."""
    text = "".join(
        character
        if character.isalnum() or character in "-_" or unicodedata.category(character)[0] == "M"
        else " "
        for character in unicodedata.normalize("NFC", text)
    )
    return _cut("_".join(text.split()).strip("_"), 120)


def _cut(text: str, length: int) -> str:
    """The beginning of a text, of at most `length` bytes in a file name."""
    return os.fsencode(text)[:length].decode("utf-8", "ignore")
