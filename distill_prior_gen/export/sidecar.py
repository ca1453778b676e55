"""Sidecars: JSON files that describe takes, from which they are made again."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_origin, get_type_hints

from distill_prior_gen.config import Edit, GenerationConfig, Region

TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright", "license", "software")
"""Tags that a take may have."""

MAX_BYTES = 1 << 16
"""Size of the largest sidecar that is read."""

T = TypeVar("T")


@dataclass(frozen=True)
class FileReference:
    """A file that a take was made with.

    Attributes:
        file: name of the file.
        path: path relative to the folder of the sidecar.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    file: str
    path: str
    sha256: str


@dataclass(frozen=True)
class ModelReference(FileReference):
    """The model that a take was made with.

    Attributes:
        name: name of the model.
        id: identifier that the Distill app gave it, or "".
    """

    name: str
    id: str


@dataclass(frozen=True)
class Sidecar:
    """Description of a take. Its fields are the keys of the JSON file.

    Attributes:
        version: version of this package.
        model: the model.
        prompt: copy of the recording that the take starts from, or None.
        seed: seed of the take.
        config: fields of its `GenerationConfig`.
        format: audio file format.
        bit_depth: bits per sample, or None for lossy formats.
        sample_rate: sample rate of the file in Hz.
        duration_s: length in seconds.
        gain: factor that keeps the waveform within -1 and 1.
        tags: tags that were given for the file.
        edits: fields of each `Edit` of the take.
    """

    version: str
    model: ModelReference
    prompt: FileReference | None
    seed: int
    config: dict[str, Any]
    format: str
    bit_depth: int | None
    sample_rate: int
    duration_s: float
    gain: float
    tags: dict[str, str]
    edits: list[dict[str, Any]]

    def to_json(self) -> str:
        """The text of the sidecar."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Sidecar:
        """The sidecar with a text.

        Raises:
            ValueError, KeyError, TypeError or RecursionError: if it is not that of a sidecar.
        """
        table = json.loads(text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
        model, prompt = table["model"], table["prompt"]
        table.setdefault("edits", [])  # takes of earlier versions were not edited
        table["model"] = _build(ModelReference, model)
        table["prompt"] = None if prompt is None else _build(FileReference, prompt)
        sidecar = _build(cls, table)
        if sidecar.config.get("prompt") and not sidecar.prompt:
            raise ValueError("prompt is missing")
        if not all(name in TAGS and isinstance(tag, str) for name, tag in sidecar.tags.items()):
            raise ValueError("tags must be text")
        sidecar.read_edits()
        return sidecar

    def read_edits(self) -> tuple[Edit, ...]:
        """The edits of the take.

        Raises:
            ValueError, KeyError or TypeError: if they make no sense.
        """
        return tuple(
            Edit(
                tuple(Region(**region) for region in edit["regions"]),
                GenerationConfig(**edit["config"]),
            )
            for edit in self.edits
        )


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not a sidecar.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("too large")
        return Sidecar.from_json(data)
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
    """The path of a file relative to a folder, or its absolute path if there is no relative one.

    Links to folders are resolved, since ".." leads out of the folder that a link points to.
    """
    file = Path(os.path.realpath(file.parent), file.name)
    try:
        return Path(os.path.relpath(file, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return str(file)


def _build(kind: type[T], table: Any) -> T:
    """A dataclass whose fields are keys of a table and have the annotated types."""
    values = {}
    for name, annotation in get_type_hints(kind).items():
        origin = get_origin(annotation)
        expected = annotation if origin in (None, UnionType) else origin
        value = table[name]
        if not isinstance(value, (int, float) if expected is float else expected):
            raise TypeError(f"{name} must not be {type(value).__name__}")
        values[name] = value
    return kind(**values)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
