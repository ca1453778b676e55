"""Recordings for training: reading them, cutting them into chunks, and log-mels of chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.decoding import RecordingError
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import (
    find_recordings,
    read_mono,
    resample,
)
from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.messages import printable
from distill_prior_gen.training.copies import group_copies
from distill_prior_gen.training.recording import MIN_FILE_PEAK, Recording
from distill_prior_gen.training.split import hold_out

MIN_FILES, MAX_FILES = 5, 500
"""Number of recordings that a model can be trained on."""

SPEEDS = ((1, 1), (1, 1), (24, 25), (25, 24), (16, 15), (15, 16))
"""Ratios of the speed, and so of the pitch, at which recordings are used for training.

A third are used unchanged, the others at most about a semitone higher or lower.
"""

MIN_EPOCH_CHUNKS = 64
"""Minimum number of chunks in an epoch; small datasets are cut again at new offsets."""

MEL_BATCH_SIZE = 64
MAX_LISTED = 6
"""Maximum number of names in a message."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Recordings at the sample rate of `spectrogram`, some of them held out.

    Attributes:
        training: recordings to train on.
        validation: recordings that are held out. Parts of one file may be in both.
        spectrogram: settings of the model's spectrograms.
        chunk_duration: length of a chunk in seconds; a fraction gives an exact number of samples.
        name: name of the folder.
        skipped_files: why files were left out, by their names.
        copies: names of the files with the same sound, one list for each group of copies.
    """

    training: Sequence[Recording]
    validation: Sequence[Recording]
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    chunk_duration: float | Fraction = 1.0
    name: str = ""
    skipped_files: dict[str, str] = field(default_factory=dict)
    copies: Sequence[Sequence[str]] = ()

    @property
    def recordings(self) -> list[Recording]:
        """All recordings, those to train on first."""
        return [*self.training, *self.validation]

    @property
    def files(self) -> int:
        """Number of files that the recordings come from."""
        return len({recording.name for recording in self.recordings})

    @property
    def seconds(self) -> float:
        """Total duration of all recordings in seconds."""
        return self.duration(self.recordings)

    def original(self, recording: Recording) -> str:
        """Name of the file of a recording, or of the first file with the same sound."""
        group = next((names for names in self.copies if recording.name in names), [recording.name])
        return group[0]

    def duration(self, recordings: Sequence[Recording]) -> float:
        """Total duration of some recordings in seconds."""
        return sum(len(r.samples) for r in recordings) / self.spectrogram.sample_rate

    @property
    def chunk_samples(self) -> int:
        """Length of a chunk in samples."""
        return int(self.chunk_duration * self.spectrogram.sample_rate)

    def cut(
        self,
        recordings: Sequence[Recording],
        generator: torch.Generator | None = None,
        step: int | None = None,
    ) -> list[Tensor]:
        """Cut recordings into chunks that cover them, and leave out silent chunks.

        The first and the last chunk of a recording are moved inwards until they lie within it.
        Only a recording that is shorter than a chunk gives a shorter chunk.

        Args:
            recordings: recordings to cut.
            generator: random generator for the offset of the first chunk and for one of the
                `SPEEDS` for each recording. Without it, recordings are cut from their beginning,
                at their own speed.
            step: samples between the beginnings of neighbouring chunks; by default the length
                of a chunk.

        Returns:
            Waveforms, float32 ``[samples]`` with at most `chunk_samples` samples each.
        """
        length, chunks = self.chunk_samples, []
        for recording in recordings:
            samples, offset = recording.samples, 0
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
            chunks += [piece for piece in pieces if piece.abs().max() >= recording.silence]
        return chunks

    def epoch(self, generator: torch.Generator) -> list[Tensor]:
        """Random chunks of the recordings to train on, at least `MIN_EPOCH_CHUNKS`; see `cut`."""
        chunks: list[Tensor] = []
        while len(chunks) < MIN_EPOCH_CHUNKS:
            # Very quiet recordings may count as silent at another speed.
            chunks += self.cut(self.training, generator) or self.cut(self.training)
        return chunks

    def log_mels(self, chunks: Sequence[Tensor]) -> Tensor:
        """Log-mels of chunks, float32 ``[chunk, n_mels, frames]``.

        As in the Distill app, short chunks are padded with zeros at the end, and each chunk is
        scaled to a peak of 1.

        Args:
            chunks: waveforms ``[samples]`` with at most `chunk_samples` samples, not silent.
        """
        padded = [F.pad(chunk, (0, self.chunk_samples - len(chunk))) for chunk in chunks]
        samples = torch.stack(padded)
        return self.spectrogram.log_mel(samples / samples.abs().amax(dim=1, keepdim=True))

    def mel_batches(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Log-mels of chunks in batches of at most `MEL_BATCH_SIZE`; see `log_mels`."""
        for start in range(0, len(chunks), MEL_BATCH_SIZE):
            yield self.log_mels(chunks[start : start + MEL_BATCH_SIZE])


def read_dataset(
    folder: str | os.PathLike[str],
    spectrogram: SpectrogramSettings | None = None,
    chunk_duration: float | Fraction = 1.0,
    progress: Progress | None = None,
) -> Dataset:
    """Read the recordings in a folder and hold out about a fifth of their duration.

    Recordings are mixed to mono and resampled to the sample rate of `spectrogram`. Files that
    cannot be read and silent files are left out; see `Dataset.skipped_files`. Which recordings
    are held out depends only on their names and contents; see `hold_out`.

    Args:
        folder: folder with sound files; folders within it are searched as well.
        spectrogram: settings of the model's spectrograms.
        chunk_duration: length of a chunk in seconds; a fraction gives an exact number of samples.
        progress: called for each file.

    Returns:
        The dataset, with 5 to 500 recordings.

    Raises:
        FileNotFoundError: if there is no such folder.
        NotADirectoryError: if it is a file.
        ValueError: if the folder has fewer than 5 or more than 500 recordings, or if they are
            all the same sound, too short to hold out a part of it.
    """
    folder = Path(folder)
    spectrogram = spectrogram or SpectrogramSettings()
    files, skipped = find_recordings(folder)
    if not files:
        raise ValueError(
            "; ".join([f"{printable(folder)} holds no recordings", *_reasons(skipped)])
        )
    wanted = f"training takes {MIN_FILES} to {MAX_FILES}"
    if len(files) > MAX_FILES:
        raise ValueError(f"{printable(folder)} has {len(files)} recordings; {wanted}")
    recordings = _read(folder, files, spectrogram.sample_rate, skipped, progress or no_progress)
    if len(recordings) < MIN_FILES:
        usable = f"{printable(folder)} has {len(recordings)} usable recordings"
        raise ValueError("; ".join([usable, wanted, *_reasons(skipped)]))
    groups = group_copies(recordings, spectrogram.sample_rate)
    training, validation = hold_out(groups)
    return Dataset(
        training,
        validation,
        spectrogram,
        chunk_duration,
        name=folder.resolve().name,
        skipped_files=skipped,
        copies=[[copy.recording.name for copy in group] for group in groups if len(group) > 1],
    )


def _read(
    folder: Path, files: Sequence[Path], rate: int, skipped: dict[str, str], progress: Progress
) -> list[Recording]:
    """Read the usable recordings; for the others, add the reasons to `skipped`."""
    recordings = []
    for index, path in enumerate(files):
        name = printable(path.relative_to(folder).as_posix())
        progress(index / len(files), f"Reading {name}...")
        try:
            samples = read_mono(path, rate)
        except RecordingError as error:
            skipped[name] = error.reason
            continue
        if samples.abs().max() < MIN_FILE_PEAK:
            skipped[name] = "is silent"
        else:
            recordings.append(Recording(name, samples))
    return recordings


def abbreviate(texts: Sequence[str]) -> list[str]:
    """The first `MAX_LISTED` of many texts, and the number of the others."""
    more = len(texts) - MAX_LISTED
    return list(texts) if more <= 1 else [*texts[:MAX_LISTED], f"and {more} more"]


def _reasons(skipped: dict[str, str]) -> list[str]:
    return abbreviate([f"{name} {reason}" for name, reason in skipped.items()])
