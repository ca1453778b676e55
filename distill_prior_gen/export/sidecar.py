"""Sidecars: descriptions of takes, from which they are made again."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

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

LARGEST = 1 << 16
"""Bytes in the largest sidecar that is read."""


def read_sidecar(path: Path) -> dict[str, Any]:
    """What a sidecar says.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no sidecar.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError
        take = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
        for part, keys in PARTS.items():
            entry = take[part] if part else take
            if entry is not None and not all(isinstance(entry[key], kind) for key, kind in keys):
                raise TypeError
        if take["config"].get("prompt") and not take["prompt"]:
            raise TypeError
        if not all(name in TAGS and isinstance(tag, str) for name, tag in take["tags"].items()):
            raise TypeError
        return take
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} does not describe a take; give the .json beside an audio file that "
            "distill-prior wrote"
        ) from error


def is_sidecar(path: Path) -> bool:
    """Whether a file can be read as a sidecar."""
    try:
        read_sidecar(path)
    except (OSError, ValueError):
        return False
    return True


def relative_path(folder: Path, file: Path) -> str:
    """The path of a file relative to a folder, or its whole path where there is none.

    Links to folders are resolved, since ".." leads out of the folder that a link leads to.
    """
    file = Path(os.path.realpath(file.parent), file.name)
    try:
        return Path(os.path.relpath(file, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return str(file)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is there twice")
    return table


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
