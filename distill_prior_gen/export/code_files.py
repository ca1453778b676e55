"""Files of codes: NumPy's ``.npz`` with a code map and the identity of its model."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.editing.code_maps import check_codes, code_map, map_start
from distill_prior_gen.model import PriorModel
from distill_prior_gen.regular_files import open_regular
from distill_prior_gen.result import GenerationResult

MAX_BYTES = 1 << 26
"""Size of the largest array that is read: the codes of more than a day."""

KEYS = {"codes": "i", "samples": "i", "trim_start": "i", "model": "U", "codes_id": "U"}
"""Arrays in the file, and their kinds of values: integers and text."""


@dataclass(frozen=True, eq=False)
class CodeFile:
    """What a file of codes holds.

    Attributes:
        codes: code map, int64 ``[row, column, level]``, rows from low to high frequencies.
        samples: length of the sound in samples.
        trim_start: frames at the beginning of the decoded codes that are not heard.
        model: name of the model.
        codes_id: see `PriorModel.codes_id`.
    """

    codes: Tensor
    samples: int
    trim_start: int
    model: str
    codes_id: str


def write_codes(
    model: PriorModel, take: GenerationResult, path: Path, overwrite: bool = False
) -> None:
    """Write the codes of a take to a file, whole or not at all.

    Raises:
        FileExistsError: if it exists and `overwrite` is False.
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {
        "codes": code_map(model, take)[1].numpy(),
        "samples": len(take.audio),
        "trim_start": map_start(take),
        "model": model.name,
        "codes_id": model.codes_id,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with atomic_write(path, overwrite) as partial:
        partial.write_bytes(buffer.getvalue())


def read_codes(model: PriorModel, path: Path) -> CodeFile:
    """Read a file of codes.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is none, or one of another model.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            arrays = {key: _read_array(archive, key, kind) for key, kind in KEYS.items()}
    except (zipfile.BadZipFile, KeyError, EOFError, MemoryError, NotImplementedError) as error:
        raise _no_codes(path, str(error)) from error
    except ValueError as error:
        raise _no_codes(path, str(error)) from error
    if any(arrays[key].ndim for key in KEYS if key != "codes"):
        raise _no_codes(path, "samples, trim_start, model and codes_id must be single values")
    stored = CodeFile(
        codes=torch.from_numpy(arrays["codes"].astype(np.int64)),
        samples=int(arrays["samples"]),
        trim_start=int(arrays["trim_start"]),
        model=str(arrays["model"]),
        codes_id=str(arrays["codes_id"]),
    )
    if stored.codes_id != model.codes_id:
        raise ValueError(
            f"{path} holds codes of another model, {stored.model!r}; give the file of that model"
        )
    try:
        check_codes(model, stored.codes)
    except ValueError as error:
        raise _no_codes(path, str(error)) from error
    return stored


def _read_array(archive: zipfile.ZipFile, key: str, kind: str) -> np.ndarray:
    with archive.open(f"{key}.npy") as member:
        data = member.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{key} is too large")
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind != kind:
        raise ValueError(f"{key} must not be {array.dtype}")
    return array


def _no_codes(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is no file of codes ({reason}); 'distill-prior encode' writes such files"
    )
