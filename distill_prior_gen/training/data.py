"""Recordings for training: read, split by file, cut into chunks, as log-mels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import (
    RecordingError,
    find_recordings,
    read_mono,
    resample,
)
from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.messages import printable

FILES = (5, 500)
"""Fewest and most recordings that a model is trained on."""

VALIDATION_SHARE = 0.2
SILENT_FILE = 1e-4
"""A recording is silent if its largest sample is below this."""

SILENT_CHUNK = 0.01
"""A chunk is silent if its largest sample, by that of its recording, is below this."""

SPEEDS = ((1, 1), (1, 1), (24, 25), (25, 24), (16, 15), (15, 16))
"""Speeds, and so pitches, that recordings are trained at: up to a semitone off, a third as is."""

EPOCH_CHUNKS = 64
"""Fewest chunks of an epoch; small folders are cut again, elsewhere, until there are as many."""

CHUNKS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound file: its name and its samples, float32 ``[samples]``, mono."""

    name: str
    samples: Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """Recordings at the sample rate of `spectrogram`, some of them held out.

    Attributes:
        training, validation: the recordings of either part.
        spectrogram: settings of the model's spectrograms.
        chunk_duration: of a chunk, in seconds.
        name: of the folder.
        skipped: why a file was left out, by its name.
    """

    training: Sequence[Recording]
    validation: Sequence[Recording]
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    chunk_duration: float = 1.0
    name: str = ""
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def recordings(self) -> list[Recording]:
        return [*self.training, *self.validation]

    @property
    def seconds(self) -> float:
        """Duration of all recordings."""
        samples = sum(len(recording.samples) for recording in self.recordings)
        return samples / self.spectrogram.sample_rate

    @property
    def chunk_samples(self) -> int:
        return int(self.chunk_duration * self.spectrogram.sample_rate)

    def cut(
        self,
        recordings: Sequence[Recording],
        generator: torch.Generator | None = None,
        step: int | None = None,
    ) -> list[Tensor]:
        """Chunks that cover the recordings, but for silence, each at most `chunk_samples` long.

        The first and the last chunk of a recording are moved inwards until they lie within
        it, so that only a recording shorter than a chunk gives a shorter one.

        Args:
            recordings: to cut.
            generator: draws where to cut, and one of the `SPEEDS` for each recording; without
                one, recordings are cut from their beginning.
            step: samples from one chunk to the next; None lets them lie end to end.
        """
        length, chunks = self.chunk_samples, []
        for samples in (recording.samples for recording in recordings):
            offset = 0
            if generator:
                offset = int(torch.randint(length, (), generator=generator))
                speed = SPEEDS[int(torch.randint(len(SPEEDS), (), generator=generator))]
                samples = resample(samples, *speed)
            last = max(0, len(samples) - length)
            starts = range(-offset, last + length, step or length)
            pieces = [
                samples[start : start + length]
                for start in sorted({min(max(start, 0), last) for start in starts})
            ]
            heard = SILENT_CHUNK * samples.abs().max()
            chunks += [piece for piece in pieces if piece.abs().max() > heard]
        return chunks

    def epoch(self, generator: torch.Generator) -> list[Tensor]:
        """Chunks of the recordings to train on, at least `EPOCH_CHUNKS`, see `cut`."""
        chunks: list[Tensor] = []
        while len(chunks) < EPOCH_CHUNKS:
            chunks += self.cut(self.training, generator)
        return chunks

    def log_mels(self, chunks: Sequence[Tensor]) -> Tensor:
        """Log-mels, float32 ``[chunk, n_mels, frames]``, of chunks with at most `chunk_samples`.

        A short chunk is padded with zeros, and each is scaled to a largest sample of 1, as
        the Distill app does.
        """
        padded = [F.pad(chunk, (0, self.chunk_samples - len(chunk))) for chunk in chunks]
        samples = torch.stack(padded)
        return self.spectrogram.log_mel(samples / samples.abs().amax(dim=1, keepdim=True))

    def mel_batches(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Log-mels of chunks, `CHUNKS_AT_ONCE` at a time."""
        for start in range(0, len(chunks), CHUNKS_AT_ONCE):
            yield self.log_mels(chunks[start : start + CHUNKS_AT_ONCE])


def read_dataset(
    folder: str | os.PathLike[str],
    spectrogram: SpectrogramSettings | None = None,
    chunk_duration: float = 1.0,
    progress: Progress | None = None,
) -> Dataset:
    """Read the recordings in a folder and hold a fifth of them out, at least one.

    Which are held out depends on the names of the files alone. Files that cannot be read,
    and silent ones, are left out.

    Args:
        folder: with sound files, also in folders within it.
        spectrogram: settings of the model's spectrograms, by default the defaults.
        chunk_duration: of a chunk, in seconds.
        progress: called for each file.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it has too few or too many recordings.
    """
    folder = Path(folder)
    spectrogram = spectrogram or SpectrogramSettings()
    progress = progress or no_progress
    recordings = []
    files, skipped = find_recordings(folder)
    if not files:
        reasons = [f"{name} {reason}" for name, reason in skipped.items()]
        raise ValueError("; ".join([f"{printable(folder)} holds no recordings", *reasons]))
    for index, path in enumerate(files):
        name = printable(path.relative_to(folder).as_posix())
        progress(index / len(files), f"Reading {name}...")
        try:
            samples = read_mono(path, spectrogram.sample_rate)
        except RecordingError as error:
            skipped[name] = error.reason
            continue
        if samples.abs().max() < SILENT_FILE:
            skipped[name] = "is silent"
        else:
            recordings.append(Recording(name, samples))
    fewest, most = FILES
    if not fewest <= len(recordings) <= most:
        left_out = "".join(f"; {name} {reason}" for name, reason in skipped.items())
        raise ValueError(
            f"{folder} has {len(recordings)} usable recordings; training takes {fewest} to {most}"
            + left_out
        )
    shuffled = sorted(recordings, key=lambda r: hashlib.sha256(r.name.encode()).digest())
    held_out = max(1, round(VALIDATION_SHARE * len(recordings)))
    return Dataset(
        training=sorted(shuffled[held_out:], key=lambda r: r.name),
        validation=sorted(shuffled[:held_out], key=lambda r: r.name),
        spectrogram=spectrogram,
        chunk_duration=chunk_duration,
        name=folder.resolve().name,
        skipped=skipped,
    )
