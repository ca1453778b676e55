"""Recordings of the same sound: copies in other formats, at other rates or levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.recordings import resample
from distill_prior_gen.training.recording import Recording

RATE = 16_000
"""Sample rate in Hz, at most, at which recordings are compared."""

COMPARED = 2.0
"""Seconds from the beginning of the sound that are compared."""

AUDIBLE = 0.03
"""The sound begins where it first reaches this share of its level, -30 dB."""

FRAME = 0.01
"""Seconds of a frame of the level."""

LOUD_FRAMES = 10
"""The level is that of the frame with this rank, so that a click does not set it."""

SAME = 0.9
"""Copies correlate at least so much; lossy formats leave more, other takes much less."""

BANDS = 12
NEAR = 6.0
"""Copies differ less than this in the levels of octave-like bands, on average, in dB."""


@dataclass(frozen=True, eq=False)
class Copy:
    """A recording and where, in samples, the sound of its group lies in it.

    `shift` is how much later than in the first recording of the group.
    """

    recording: Recording
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Sketch:
    """The beginning of a sound, with its loudness evened out.

    Attributes:
        start: where it begins in the recording, in samples.
        rate: sample rate of `samples` in Hz.
        samples: float32 ``[samples]``, of length 1 as a vector.
        bands: levels of its spectrum in dB, float32 ``[BANDS]``.
        spectra: transforms of `samples`, by their lengths, that were needed so far.
    """

    start: int
    rate: int
    samples: Tensor
    bands: Tensor
    spectra: dict[int, Tensor] = field(default_factory=dict)

    def spectrum(self, size: int) -> Tensor:
        if size not in self.spectra:
            self.spectra[size] = torch.fft.rfft(self.samples, size)
        return self.spectra[size]


def group_copies(recordings: Sequence[Recording], sample_rate: int) -> list[list[Copy]]:
    """Recordings in groups: copies of the same sound, and files that differ in their suffix alone.

    Copies are found by the correlation of their waveforms, whatever their names, levels and
    polarity and however much silence stands before the sound.
    """
    groups: list[list[Copy]] = []
    stems: dict[str, list[Copy]] = {}
    sketches: list[tuple[Sketch, list[Copy], int]] = []
    for recording in recordings:
        sketch = sketch_of(recording.samples, sample_rate)
        stem = str(PurePosixPath(recording.name).with_suffix("")).casefold()
        group, shift = stems.get(stem), 0
        for other, its_group, its_shift in sketches:
            if group in (None, its_group):
                found = shift_between(other, sketch, sample_rate)
                if found is not None:
                    group, shift = its_group, its_shift + found
                    break
        if group is None:
            group = []
            groups.append(group)
        group.append(Copy(recording, shift))
        stems.setdefault(stem, group)
        sketches.append((sketch, group, shift))
    return groups


def sketch_of(samples: Tensor, sample_rate: int) -> Sketch:
    """The sketch of a recording that is not silent, ``[samples]``."""
    frame = max(1, int(FRAME * sample_rate))
    peaks = F.max_pool1d(samples.abs()[None], frame, ceil_mode=True)[0]
    level = float(
        peaks.sort(descending=True).values[: max(1, min(LOUD_FRAMES, len(peaks) // 4))][-1]
    )
    audible = (peaks >= AUDIBLE * level).nonzero()[:, 0]
    start, end = int(audible[0]) * frame, (int(audible[-1]) + 1) * frame
    rate = min(RATE, sample_rate)
    sound = samples[start : min(end, start + int(COMPARED * sample_rate))]
    sound = resample(sound.contiguous(), sample_rate, rate)
    around = int(2 * FRAME * rate) * 2 + 1
    power = F.avg_pool1d(sound.square()[None], around, 1, around // 2)[0]
    even = sound / (power.sqrt() + AUDIBLE * level)
    spectrum = torch.fft.rfft(even, 4 * BANDS * max(1, -(-len(even) // (4 * BANDS)))).abs().square()
    edges = torch.logspace(-2, 0, BANDS + 1) * (len(spectrum) - 1)
    parts = [float(spectrum[int(low) : int(high) + 1].mean()) for low, high in pairwise(edges)]
    bands = 10 * torch.tensor(parts).clamp_min(1e-12).log10()
    bands = (bands - bands.max()).clamp_min(-30)
    return Sketch(start, rate, even / even.norm().clamp_min(1e-12), bands)


def shift_between(first: Sketch, second: Sketch, sample_rate: int) -> int | None:
    """How many samples later than in the first recording the sound is in the second.

    None if they are not copies.
    """
    lengths = sorted((len(first.samples), len(second.samples)))
    if lengths[0] < SAME * SAME * lengths[1] - 0.05 * first.rate:
        return None
    if float((first.bands - second.bands).abs().mean()) > NEAR:
        return None
    size = 1 << sum(lengths).bit_length()  # few sizes, for which transforms are kept
    correlation = torch.fft.irfft(second.spectrum(size) * first.spectrum(size).conj(), size)
    best = int(correlation.abs().argmax())
    if float(correlation[best].abs()) < SAME:
        return None
    later = best if best < lengths[1] else best - size
    return second.start - first.start + round(later * sample_rate / first.rate)
