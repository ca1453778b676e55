"""Sidecars: JSON files that describe takes, from which they are made again."""

from __future__ import annotations

import base64
import json
import math
import os
import stat
import zlib
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig

TAGS = ("title", "artist", "album", "comment", "date", "genre", "copyright", "license", "software")
"""Tags that a take may have."""

MAX_BYTES = 1 << 24
"""Size of the largest sidecar that is read."""

MAX_CODES_BYTES = 1 << 28
"""Memory for the codes of a take."""


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
        codes_id: SHA-256 of its VQ-VAE's weights, or "" if not known.
    """

    name: str
    id: str
    codes_id: str


@dataclass(frozen=True)
class StoredCodes:
    """Codes as text.

    Attributes:
        shape: their shape.
        data: the codes as int32, little-endian, zlib-compressed, in Base64.
    """

    shape: list[int]
    data: str

    @classmethod
    def of(cls, codes: Tensor) -> StoredCodes:
        """Codes, int64, as text."""
        packed = zlib.compress(codes.numpy().astype("<i4").tobytes(), 9)
        return cls(list(codes.shape), base64.b64encode(packed).decode())

    def read(self) -> Tensor:
        """The codes, int64.

        Raises:
            ValueError: if there are none, or more or fewer than the shape tells.
        """
        if not all(type(size) is int and 0 < size < 2**24 for size in self.shape):
            raise ValueError("shape must be sizes")
        size = 4 * math.prod(self.shape)
        if size > MAX_CODES_BYTES:
            raise ValueError("too many codes")
        unpacker = zlib.decompressobj()
        try:
            packed = base64.b64decode(self.data, validate=True)
            data = unpacker.decompress(packed, size + 1)
        except zlib.error as error:
            raise ValueError("codes are damaged") from error
        if len(data) != size or unpacker.unconsumed_tail:
            raise ValueError("codes do not have their shape")
        codes = np.frombuffer(data, "<i4").astype(np.int64).reshape(self.shape)
        if codes.min() < 0:
            raise ValueError("codes must not be negative")
        return torch.from_numpy(codes)


@dataclass(frozen=True)
class StoredBase:
    """A take that was not drawn, see `Base`.

    Attributes:
        samples: length in samples.
        trim_start: frames at the beginning of the decoded codes that are not heard.
        name: name of the recording, or "".
        sound: the recording, or None for a take that was decoded from codes.
        gain: factor from the sound of the codes to the recording.
    """

    samples: int
    trim_start: int
    name: str
    sound: FileReference | None
    gain: float


@dataclass(frozen=True)
class StoredEdit:
    """A change of the take, see `Edit`."""

    operation: str
    settings: dict[str, Any]
    config: dict[str, Any]
    codes: StoredCodes
    samples: int
    gain: float
    spans: list[list[int]]
    sound: FileReference | None
    levels: list[float] | None


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
        gain: factor that keeps the waveform within -1 and 1, or gives it the loudness.
        loudness: loudness that was asked for in LUFS, or None.
        tags: tags that were given for the file.
        codes: its codes before the edits; None in files of version 0.1.
        base: for a take that was not drawn, what it was made of.
        edits: its changes.
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
    loudness: float | None
    tags: dict[str, str]
    codes: StoredCodes | None
    base: StoredBase | None
    edits: list[StoredEdit]

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
        # Keys that version 0.1 did not have.
        table = {"loudness": None, "codes": None, "base": None, "edits": []} | table
        table["model"] = {"codes_id": ""} | table["model"]
        sidecar = _build(cls, table)
        if sidecar.config.get("prompt") and not sidecar.prompt:
            raise ValueError("prompt is missing")
        if (sidecar.base or sidecar.edits) and sidecar.codes is None:
            raise ValueError("codes are missing")
        for part in (sidecar, *sidecar.edits):
            if part.codes:
                part.codes.read()
        if not all(len(span) == 2 for edit in sidecar.edits for span in edit.spans):
            raise ValueError("spans must be pairs")
        if not all(name in TAGS and isinstance(tag, str) for name, tag in sidecar.tags.items()):
            raise ValueError("tags must be text")
        return sidecar


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not a sidecar, or one of a newer version.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("too large")
        sidecar = Sidecar.from_json(data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} does not describe a take; give the .json beside an audio file that "
            "distill-prior wrote"
        ) from error
    known = {field.name for field in fields(GenerationConfig)}
    if unknown := set[str]().union(sidecar.config, *(e.config for e in sidecar.edits)) - known:
        raise ValueError(
            f"{path} has settings that this version does not know "
            f"({', '.join(sorted(unknown))}); install a newer one"
        )
    return sidecar


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


def _build(kind: Any, value: Any) -> Any:
    """A value of an annotated type: a dataclass from a table with its fields, a list of them."""
    arguments = get_args(kind)
    if isinstance(kind, UnionType):  # with None
        return None if value is None else _build(arguments[0], value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _build(hint, value[name]) for name, hint in hints.items()})
    origin = get_origin(kind) or kind
    if isinstance(value, bool) or not isinstance(
        value, (int, float) if origin is float else origin
    ):
        raise TypeError(f"{type(value).__name__} instead of {origin.__name__}")
    if isinstance(value, list):
        return [_build(arguments[0], item) for item in value]
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
