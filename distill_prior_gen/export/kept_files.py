"""Copies of the recordings that takes are made of, in a folder beside them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.decoding import open_recording
from distill_prior_gen.export.naming import prompt_path
from distill_prior_gen.export.sidecar import FileReference, relative_path
from distill_prior_gen.regular_files import file_sha256
from distill_prior_gen.sampling.prompt import Prompt


def keep_prompt(path: Path, prompt: Prompt) -> FileReference:
    """Copy the prompt of the take in `path` to the folder of prompts next to it.

    Raises:
        OSError: if it cannot be copied, or is another file now.
    """

    def copy(partial: Path) -> None:
        shutil.copyfile(prompt.path, partial)
        if file_sha256(partial) != prompt.sha256:
            raise OSError(f"{prompt.path} changed meanwhile; make the take again")

    return _keep(path, prompt.path, prompt.sha256, copy)


def keep_sound(path: Path, sound: np.ndarray, sample_rate: int) -> FileReference:
    """Write a sound that the take in `path` needs to the folder of prompts next to it.

    Args:
        path: the take.
        sound: float32 ``[samples]`` in steps of 2 ** -23, which FLAC holds exactly.
        sample_rate: in Hz.

    Raises:
        OSError: if it cannot be written.
    """
    buffer = io.BytesIO()
    # libsndfile would scale floats to the largest 24-bit number, which changes them.
    integers = np.round(sound * 2.0**31).astype(np.int32)
    soundfile.write(buffer, integers, sample_rate, format="FLAC", subtype="PCM_24")
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    return _keep(path, Path("sound.flac"), sha256, lambda partial: partial.write_bytes(content))


def read_sound(path: Path, sha256: str, longest: int) -> np.ndarray:
    """Read what `keep_sound` wrote, float32 ``[samples]``.

    Args:
        path: the file.
        sha256: its SHA-256.
        longest: largest number of samples.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is another file, or too long.
    """
    with open_recording(path) as source:
        if source.sha256() != sha256:
            raise ValueError(f"{path} is not the sound that the take was made with")
        blocks, samples = [], 0
        for block in source.blocks(1 << 16):
            samples += len(block)
            if block.shape[1] != 1 or samples > longest:
                raise ValueError(f"{path} does not fit the take")
            blocks.append(block[:, 0].copy())
    return np.concatenate(blocks)


def _keep(path: Path, file: Path, sha256: str, write: Callable[[Path], object]) -> FileReference:
    """Write a file to the folder of prompts next to a take, once for all takes."""
    kept = prompt_path(path, file, sha256)
    if not (kept.is_file() and file_sha256(kept) == sha256):
        if os.path.lexists(kept.parent) and not kept.parent.is_dir():
            raise NotADirectoryError(
                f"{kept.parent} is a file; prompts are copied to a folder of that name"
            )
        kept.parent.mkdir(exist_ok=True)
        with atomic_write(kept, overwrite=True) as partial:
            write(partial)
    return FileReference(file.name, relative_path(path.parent, kept), sha256)
