"""Finding recordings of the same sound: copies in other formats, at other rates or levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.recordings import resample
from distill_prior_gen.training.recording import Recording

MAX_RATE = 16_000
"""Highest sample rate in Hz at which recordings are compared."""

COMPARED_SECONDS = 2.0
"""Only the beginning of the sounds is compared, this many seconds."""

AUDIBLE_RATIO = 0.03
"""A sound begins where it first reaches this fraction of its level, -30 dB."""

FRAME_SECONDS = 0.01
"""Length of a frame in which a peak is measured."""

LEVEL_RANK = 10
"""The level is the peak of the frame with this rank, so that a click does not set it."""

MIN_CORRELATION = 0.9
"""Lowest correlation of copies. That of lossy formats is higher, that of other takes much lower."""

NUM_BANDS = 12
MAX_BAND_DIFFERENCE = 6.0
"""Highest mean difference, in dB, of the levels of copies in logarithmic frequency bands."""


@dataclass(frozen=True, eq=False)
class Copy:
    """A recording in a group of copies.

    Attributes:
        recording: the recording.
        shift: samples by which the sound comes later in it than in the group's first recording.
    """

    recording: Recording
    shift: int = 0


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The beginning of a sound, with its loudness evened out.

    Attributes:
        start: sample of the recording at which the sound begins.
        rate: sample rate of `samples` in Hz.
        samples: float32 ``[samples]``, scaled to a Euclidean norm of 1.
        bands: levels of the spectrum in dB, float32 ``[NUM_BANDS]``.
        spectra: cache of Fourier transforms of `samples` by length.
    """

    start: int
    rate: int
    samples: Tensor
    bands: Tensor
    spectra: dict[int, Tensor] = field(default_factory=dict)

    def spectrum(self, size: int) -> Tensor:
        """Fourier transform of `samples`, padded to `size`."""
        if size not in self.spectra:
            self.spectra[size] = torch.fft.rfft(self.samples, size)
        return self.spectra[size]


def group_copies(recordings: Sequence[Recording], sample_rate: int) -> list[list[Copy]]:
    """Group copies of the same sound, and files whose names differ only in the suffix.

    Copies are found by the correlation of their waveforms. Names, levels, polarity and silence
    before the sound do not matter.
    """
    groups: list[list[Copy]] = []
    stems: dict[str, list[Copy]] = {}
    compared: list[tuple[Fingerprint, list[Copy], int]] = []
    for recording in recordings:
        fingerprint = compute_fingerprint(recording.samples, sample_rate)
        stem = str(PurePosixPath(recording.name).with_suffix("")).casefold()
        group, shift = stems.get(stem), 0
        for other, other_group, other_shift in compared:
            if group in (None, other_group):
                found = find_shift(other, fingerprint, sample_rate)
                if found is not None:
                    group, shift = other_group, other_shift + found
                    break
        if group is None:
            group = []
            groups.append(group)
        group.append(Copy(recording, shift))
        stems.setdefault(stem, group)
        compared.append((fingerprint, group, shift))
    return groups


def compute_fingerprint(samples: Tensor, sample_rate: int) -> Fingerprint:
    """Fingerprint of a recording ``[samples]`` that is not silent."""
    frame = max(1, int(FRAME_SECONDS * sample_rate))
    peaks = F.max_pool1d(samples.abs()[None], frame, ceil_mode=True)[0]
    rank = max(1, min(LEVEL_RANK, len(peaks) // 4))
    level = float(peaks.sort(descending=True).values[rank - 1])
    audible = (peaks >= AUDIBLE_RATIO * level).nonzero()[:, 0]
    start, end = int(audible[0]) * frame, (int(audible[-1]) + 1) * frame
    rate = min(MAX_RATE, sample_rate)
    sound = samples[start : min(end, start + int(COMPARED_SECONDS * sample_rate))]
    sound = resample(sound.contiguous(), sample_rate, rate)
    window = int(2 * FRAME_SECONDS * rate) * 2 + 1
    power = F.avg_pool1d(sound.square()[None], window, 1, window // 2)[0]
    even = sound / (power.sqrt() + AUDIBLE_RATIO * level)
    return Fingerprint(start, rate, even / even.norm().clamp_min(1e-12), _band_levels(even))


def _band_levels(sound: Tensor) -> Tensor:
    """Levels of a waveform ``[samples]`` in logarithmic bands, dB below the loudest band."""
    block = 4 * NUM_BANDS
    spectrum = torch.fft.rfft(sound, block * max(1, math.ceil(len(sound) / block))).abs().square()
    edges = torch.logspace(-2, 0, NUM_BANDS + 1) * (len(spectrum) - 1)
    powers = [float(spectrum[int(low) : int(high) + 1].mean()) for low, high in pairwise(edges)]
    levels = 10 * torch.tensor(powers).clamp_min(1e-12).log10()
    return (levels - levels.max()).clamp_min(-30)


def find_shift(first: Fingerprint, second: Fingerprint, sample_rate: int) -> int | None:
    """Samples by which the sound comes later in the second recording than in the first.

    Returns:
        The shift at `sample_rate`, or None if the recordings are not copies.
    """
    lengths = sorted((len(first.samples), len(second.samples)))
    if lengths[0] < MIN_CORRELATION**2 * lengths[1] - 0.05 * first.rate:
        return None
    if float((first.bands - second.bands).abs().mean()) > MAX_BAND_DIFFERENCE:
        return None
    size = 1 << sum(lengths).bit_length()  # a power of two, so that cached spectra are reused
    correlation = torch.fft.irfft(second.spectrum(size) * first.spectrum(size).conj(), size)
    best = int(correlation.abs().argmax())
    if float(correlation[best].abs()) < MIN_CORRELATION:
        return None
    later = best if best < lengths[1] else best - size
    return second.start - first.start + round(later * sample_rate / first.rate)
