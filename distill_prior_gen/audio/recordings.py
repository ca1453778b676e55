"""Audio files as the networks hear them: mono, at one sample rate."""

from __future__ import annotations

import math
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from distill_prior_gen.audio.mel import import_torchaudio

AUDIO_SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff", "aif")


def audio_files(folder: Path) -> list[Path]:
    """The audio files in a folder, by their suffix, in the order of their names.

    Raises:
        ValueError: if there is none.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower()[1:] in AUDIO_SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no recordings ({', '.join(AUDIO_SUFFIXES)})")
    return files


def read_mono(
    path: Path, sample_rate: int, seconds: float | None = None, from_end: bool = False
) -> Tensor:
    """Samples of an audio file, float32 ``[samples]``, mixed to mono and resampled.

    Args:
        sample_rate: in Hz, of what comes out.
        seconds: of its beginning, at least; None reads it all.
        from_end: read its end instead.

    Raises:
        soundfile.LibsndfileError: if it cannot be read.
    """
    with soundfile.SoundFile(path) as file:
        frames = -1 if seconds is None else math.ceil(seconds * file.samplerate)
        if from_end and frames < file.frames:
            file.seek(-frames, soundfile.SEEK_END)
        audio = file.read(frames, dtype="float32", always_2d=True)
        rate = file.samplerate
    mono = torch.from_numpy(audio.mean(axis=1))
    return resample(mono, rate, sample_rate)


def resample(samples: Tensor, rate: int, new_rate: int) -> Tensor:
    """Samples ``[samples]`` at another rate."""
    return import_torchaudio().functional.resample(samples, rate, new_rate)
