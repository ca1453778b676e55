"""Recordings for training: read, split by file, cut into chunks, as log-mels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
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
from distill_prior_gen.training.copies import group_copies
from distill_prior_gen.training.recording import SILENT_FILE, Recording
from distill_prior_gen.training.split import hold_out

FILES = (5, 500)
"""Fewest and most recordings that a model is trained on."""

SPEEDS = ((1, 1), (1, 1), (24, 25), (25, 24), (16, 15), (15, 16))
"""Speeds, and so pitches, at which recordings are trained: a third as is, the rest up to a
semitone off."""

EPOCH_CHUNKS = 64
"""Fewest chunks of an epoch; small folders are cut again, at other places, to reach it."""

CHUNKS_AT_ONCE = 64
MOST_NAMED = 6


@dataclass(frozen=True, eq=False)
class Dataset:
    """Recordings at the sample rate of `spectrogram`, some of them held out.

    Attributes:
        training, validation: recordings to train on and recordings that are held out. Parts of one
            file may be on both sides.
        spectrogram: settings of the model's spectrograms.
        chunk_duration: seconds of a chunk; a fraction gives an exact number of samples.
        name: of the folder.
        skipped: reasons why files were left out, by their names.
        copies: names of recordings of the same sound, group by group.
    """

    training: Sequence[Recording]
    validation: Sequence[Recording]
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    chunk_duration: float | Fraction = 1.0
    name: str = ""
    skipped: dict[str, str] = field(default_factory=dict)
    copies: Sequence[Sequence[str]] = ()

    @property
    def recordings(self) -> list[Recording]:
        return [*self.training, *self.validation]

    @property
    def files(self) -> int:
        """Number of files that recordings are from."""
        return len({recording.name for recording in self.recordings})

    @property
    def seconds(self) -> float:
        """Duration of all recordings."""
        return self.duration(self.recordings)

    def duration(self, recordings: Sequence[Recording]) -> float:
        """Seconds of recordings."""
        return sum(len(r.samples) for r in recordings) / self.spectrogram.sample_rate

    @property
    def chunk_samples(self) -> int:
        return int(self.chunk_duration * self.spectrogram.sample_rate)

    def cut(
        self,
        recordings: Sequence[Recording],
        generator: torch.Generator | None = None,
        step: int | None = None,
    ) -> list[Tensor]:
        """Chunks that cover the recordings except silence, each at most `chunk_samples` long.

        The first and the last chunk of a recording are moved inwards until they lie within
        it, so that only a recording shorter than a chunk gives a shorter one.

        Args:
            recordings: to cut.
            generator: draws where to cut, and one of the `SPEEDS` for each recording; without
                one, recordings are cut from their beginning.
            step: samples from one chunk to the next; None lets them lie end to end.
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
        """Chunks of the recordings to train on, at least `EPOCH_CHUNKS`, see `cut`."""
        chunks: list[Tensor] = []
        while len(chunks) < EPOCH_CHUNKS:
            # Sound that is hardly louder than silence may be lost at another speed.
            chunks += self.cut(self.training, generator) or self.cut(self.training)
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
    chunk_duration: float | Fraction = 1.0,
    progress: Progress | None = None,
) -> Dataset:
    """Read the recordings in a folder and hold about a fifth of the seconds out.

    Which are held out depends on their names and what is in them alone, see `hold_out`. Files that
    cannot be read, and silent ones, are left out.

    Args:
        folder: with sound files, also in folders within it.
        spectrogram: settings of the model's spectrograms, by default the defaults.
        chunk_duration: seconds of a chunk; a fraction gives an exact number of samples.
        progress: called for each file.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it has too few or too many recordings, or only one sound, too short to
            hold a part of it out.
    """
    folder = Path(folder)
    spectrogram = spectrogram or SpectrogramSettings()
    files, skipped = find_recordings(folder)
    if not files:
        raise ValueError(
            "; ".join([f"{printable(folder)} holds no recordings", *_reasons(skipped)])
        )
    fewest, most = FILES
    if len(files) > most:
        raise ValueError(
            f"{printable(folder)} has {len(files)} recordings; training takes {fewest} to {most}"
        )
    recordings = _read(folder, files, spectrogram.sample_rate, skipped, progress or no_progress)
    if len(recordings) < fewest:
        usable = f"{printable(folder)} has {len(recordings)} usable recordings"
        raise ValueError(
            "; ".join([f"{usable}; training takes {fewest} to {most}", *_reasons(skipped)])
        )
    groups = group_copies(recordings, spectrogram.sample_rate)
    training, validation = hold_out(groups)
    return Dataset(
        training,
        validation,
        spectrogram,
        chunk_duration,
        name=folder.resolve().name,
        skipped=skipped,
        copies=[[copy.recording.name for copy in group] for group in groups if len(group) > 1],
    )


def _read(
    folder: Path, files: Sequence[Path], rate: int, skipped: dict[str, str], progress: Progress
) -> list[Recording]:
    """The recordings that can be used; the reasons why others cannot are added to `skipped`."""
    recordings = []
    for index, path in enumerate(files):
        name = printable(path.relative_to(folder).as_posix())
        progress(index / len(files), f"Reading {name}...")
        try:
            samples = read_mono(path, rate)
        except RecordingError as error:
            skipped[name] = error.reason
            continue
        if samples.abs().max() < SILENT_FILE:
            skipped[name] = "is silent"
        else:
            recordings.append(Recording(name, samples))
    return recordings


def named(texts: Sequence[str]) -> list[str]:
    """The first few of many texts, and how many more there are."""
    more = len(texts) - MOST_NAMED
    return list(texts) if more <= 1 else [*texts[:MOST_NAMED], f"and {more} more"]


def _reasons(skipped: dict[str, str]) -> list[str]:
    return named([f"{name} {reason}" for name, reason in skipped.items()])
