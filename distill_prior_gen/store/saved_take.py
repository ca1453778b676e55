"""A take in the store, as its sidecar tells."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.export.naming import sidecar_path
from distill_prior_gen.export.opening import find_file
from distill_prior_gen.export.sidecar import ModelReference, Sidecar, read_sidecar

MAX_KNOWN = 10_000
"""Takes whose descriptions stay in memory."""


@dataclass(frozen=True)
class SavedTake:
    """A take that is described without its sound and its codes.

    Attributes:
        number: its number, from 1.
        path: the audio file.
        model: the model that made it.
        config: its settings. The prompt is the copy beside the take, if that is still there.
        duration: length in seconds.
        origin: how it was edited or what it was made of, or "".
        saved_at: time at which it was saved, in seconds since 1970.
    """

    number: int
    path: Path
    model: ModelReference
    config: GenerationConfig
    duration: float
    origin: str
    saved_at: float

    @property
    def sidecar(self) -> Path:
        """The file that describes it."""
        return sidecar_path(self.path)

    @property
    def model_path(self) -> Path:
        """Where its model was when it was saved."""
        return Path(os.path.abspath(self.path.parent / self.model.path))

    @property
    def model_name(self) -> str:
        """Name of its model."""
        return self.model.name

    @property
    def was_changed(self) -> bool:
        """Whether the take was edited, or was not drawn but made of sound."""
        return bool(self.origin)

    def command(self, full_paths: bool = True) -> str:
        """The command that makes the same take.

        Args:
            full_paths: whether files are named with their folders.
        """
        return shlex.join(
            ["distill-prior", "replay", str(self.sidecar) if full_paths else self.sidecar.name]
        )

    def read_sound(self) -> tuple[int, np.ndarray]:
        """Sample rate in Hz, and the samples, int16 ``[samples]`` or ``[samples, 2]``.

        Raises:
            OSError: if the file cannot be read.
        """
        try:
            samples, rate = soundfile.read(self.path, dtype="int16")
        except soundfile.LibsndfileError as error:
            raise OSError(f"{self.path} cannot be read: {error}") from error
        return rate, samples


def read_take(number: int, path: Path) -> SavedTake:
    """Read the description of a take in the store.

    Args:
        number: its number.
        path: the audio file.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if its sidecar is none, or one of a newer version.
    """
    return _read_take(number, path, path.stat().st_mtime_ns)


@lru_cache(MAX_KNOWN)
def _read_take(number: int, path: Path, modified: int) -> SavedTake:
    sidecar = read_sidecar(sidecar_path(path))
    return SavedTake(
        number=number,
        path=path,
        model=sidecar.model,
        config=_config(path, sidecar),
        duration=sidecar.duration_s,
        origin=_origin(sidecar),
        saved_at=modified / 1e9,
    )


def _config(path: Path, sidecar: Sidecar) -> GenerationConfig:
    config = GenerationConfig(**sidecar.config)
    if sidecar.prompt:
        try:
            return replace(config, prompt=str(find_file(sidecar_path(path), sidecar.prompt)))
        except FileNotFoundError:
            pass
    return config


def _origin(sidecar: Sidecar) -> str:
    operations = list(dict.fromkeys(edit.operation for edit in sidecar.edits))
    edited = f"edited ({', '.join(operations)})" if operations else ""
    if sidecar.base is None:
        return edited
    made_of = sidecar.base.name or "made of codes"
    return f"{made_of}, {edited}" if edited else made_of
