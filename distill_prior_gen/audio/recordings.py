"""Recordings as the networks hear them: mono, at one sample rate."""

from __future__ import annotations

import math
import os
from pathlib import Path

import soundfile
import soxr
import torch
from torch import Tensor

from distill_prior_gen.messages import in_words, printable

AUDIO_SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff", "aif")


class RecordingError(ValueError):
    """A recording that cannot be used.

    Attributes:
        path: of the file.
        reason: what is wrong with it, such as "cannot be read: permission denied".
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path, self.reason = Path(path), printable(reason)
        super().__init__(f"{printable(path)} {self.reason}")


def audio_files(folder: Path) -> list[Path]:
    """The audio files in a folder, by their suffix, in the order of their names.

    Raises:
        ValueError: if there is none.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower()[1:] in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no recordings ({', '.join(AUDIO_SUFFIXES)})")
    return files


def find_recordings(folder: str | os.PathLike[str]) -> tuple[list[Path], dict[str, str]]:
    """Audio files in a folder and in the folders within it.

    Returns:
        The files, in the order of their paths relative to `folder`, and why others are left
        out, by their relative path. Hidden files, and files that are no sound files by their
        name, are not mentioned.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: if `folder` cannot be listed.
    """
    folder = Path(folder)
    os.listdir(folder)
    found: list[Path] = []
    left_out: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if name.startswith(".") or path.suffix.lower()[1:] not in AUDIO_SUFFIXES:
                continue
            if path.is_file():
                found.append(path)
            else:
                left_out[printable(path.relative_to(folder).as_posix())] = "is not a regular file"
    return sorted(found, key=lambda path: path.relative_to(folder).parts), left_out


def read_mono(
    path: str | os.PathLike[str], sample_rate: int, seconds: float | None = None
) -> Tensor:
    """Samples of a recording, float32 ``[samples]``, mixed to mono and resampled.

    Args:
        path: of the file.
        sample_rate: in Hz, of the samples returned.
        seconds: how much of its beginning to read; None reads it all.

    Raises:
        RecordingError: if it cannot be read, is empty, or has samples that are not finite.
    """
    try:
        with soundfile.SoundFile(path) as file:
            frames = -1 if seconds is None else math.ceil(seconds * file.samplerate)
            audio = file.read(frames, dtype="float32", always_2d=True)
            rate = file.samplerate
        mono = torch.from_numpy(audio.mean(axis=1))
    except (OSError, MemoryError, RuntimeError) as error:
        raise RecordingError(path, f"cannot be read: {in_words(error)}") from error
    if not len(mono):
        raise RecordingError(path, "is empty")
    if not mono.isfinite().all():
        raise RecordingError(path, "has samples that are not finite")
    return resample(mono, rate, sample_rate)


def resample(samples: Tensor, rate: int, new_rate: int) -> Tensor:
    """Samples ``[samples]`` at another rate."""
    if rate == new_rate or not len(samples):
        return samples
    return torch.from_numpy(soxr.resample(samples.numpy(), rate, new_rate))
