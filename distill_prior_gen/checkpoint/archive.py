"""The archive of a model file: an uncompressed zip file, as `torch.save` writes it.

A file is opened once, and its checksums are compared before anything else is read. Tensors are
copied into memory, so that a file may change or disappear afterwards.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.checkpoint.errors import ModelFileError, refusing
from distill_prior_gen.checkpoint.values import (
    Storage,
    UnsafeError,
    ValuesError,
    View,
    read_values,
)
from distill_prior_gen.regular_files import open_regular

FORMAT = "distill_model"

MAX_BYTES = 2 * 2**30
"""Size of the largest file that is read."""

MAX_PICKLE_BYTES = 2 * 2**20
"""Size of the pickle that describes the values of a file; usually it has a few thousand bytes."""

BLOCK_SIZE = 2**20
"""Bytes that are read at once. The directory of an archive must fit into one block."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """Contents of a model file of any version.

    Attributes:
        path: the file.
        size: size of the file in bytes.
        contents: plain values and tensors. Tensors are on the device "meta" if the weights were
            not read.
        sha256: SHA-256 of the file, or "" if the weights were not read.
    """

    path: Path
    size: int
    contents: dict[str, Any]
    sha256: str


def read_file(path: str | os.PathLike[str], weights: bool = True) -> ModelFile:
    """Read a ``.distill`` file of any version.

    Args:
        path: the file.
        weights: whether the numbers of the tensors are read. All checksums are compared anyway.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it is not a model file, or truncated or corrupt, or if it holds
            anything other than tensors and plain values.
    """
    path = Path(path)
    with refusing(path), io.BufferedReader(open_regular(path)) as opened:
        file: BinaryIO = opened
        size, sha256 = os.fstat(opened.fileno()).st_size, ""
        if size > MAX_BYTES:
            raise ModelFileError(f"{path} is larger than {MAX_BYTES // 2**30} GB")
        if weights:
            content = opened.read(MAX_BYTES)
            size, sha256 = len(content), hashlib.sha256(content).hexdigest()
            file = io.BytesIO(content)
        if file.read(2) != b"PK":
            raise ModelFileError(f"{path} is not a .distill model file")
        contents = _read_contents(path, _Blocks(file), size, weights)
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a .distill model file")
    return ModelFile(path, size, contents, sha256)


class _Blocks:
    """A file that is read in blocks, whatever size the directory of its archive claims to have."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > BLOCK_SIZE:
            raise zipfile.BadZipFile("the directory is too large")
        return self.file.read(BLOCK_SIZE if size < 0 else size)


def _read_contents(path: Path, file: _Blocks, size: int, weights: bool) -> Any:
    damaged = ModelFileError(f"{path} is truncated or corrupt; copy or export the model again")
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, file))
    except Exception as error:
        raise damaged from error
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if not pickles:
        raise ModelFileError(f"{path} is not a .distill model file")
    folder = pickles[0].removesuffix("data.pkl")
    try:
        pickle = _verify(archive, folder, size)
        return read_values(pickle, _Tensors(archive, folder, weights).view)
    except UnsafeError as error:
        raise ModelFileError(
            f"{path} holds Python objects other than weights and settings; it was not loaded, "
            "since such a file can run code"
        ) from error
    except (ValuesError, MemoryError):
        raise
    except Exception as error:
        raise damaged from error


def _verify(archive: zipfile.ZipFile, folder: str, size: int) -> bytes:
    """Compare all checksums, and return the pickle that describes the values."""
    entries = archive.infolist()
    # Compressed or overlapping entries could expand to any size.
    if any(entry.compress_type or entry.compress_size != entry.file_size for entry in entries):
        raise zipfile.BadZipFile("an entry is compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise zipfile.BadZipFile("entries lie over each other")
    if max(Counter(archive.namelist()).values()) > 1:
        raise zipfile.BadZipFile("two entries have one name")
    description = archive.getinfo(f"{folder}data.pkl")
    if description.file_size > MAX_PICKLE_BYTES:
        raise ValuesError("it holds too many values")
    pickle = b"".join(_blocks(archive, description))
    order = sys.byteorder.encode()
    for entry in entries:
        for block in _blocks(archive, entry):
            if entry.filename == f"{folder}byteorder" and block != order:
                raise ValuesError("it was saved on a machine with another byte order")
    return pickle


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as stream:
        while block := stream.read(BLOCK_SIZE):
            yield block


class _Tensors:
    """The tensors of an archive, with or without their numbers."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, weights: bool) -> None:
        self.archive, self.folder, self.weights = archive, folder, weights
        self.storages: dict[Storage, Tensor] = {}

    def view(self, view: View) -> Tensor:
        storage = view.storage
        if storage not in self.storages:
            self.storages[storage] = self._read(storage)
        return self.storages[storage].as_strided(view.shape, view.stride, view.offset)

    def _read(self, storage: Storage) -> Tensor:
        entry = self.archive.getinfo(f"{self.folder}data/{storage.key}")
        if entry.file_size != storage.count * storage.dtype.itemsize:
            raise ValuesError("its tensors claim more data than the file holds")
        if not self.weights:
            return torch.empty(storage.count, dtype=storage.dtype, device="meta")
        content = np.empty(entry.file_size, np.uint8)
        place = 0
        for block in _blocks(self.archive, entry):
            content[place : place + len(block)] = np.frombuffer(block, np.uint8)
            place += len(block)
        numbers = torch.from_numpy(content)
        # A byte other than 0 and 1 is not a bool.
        return numbers != 0 if storage.dtype == torch.bool else numbers.view(storage.dtype)
