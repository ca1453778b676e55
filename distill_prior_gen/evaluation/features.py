"""Features of sound, one row for each second.

They describe what an ear judges apart from the melody: how loud each band is, whether it holds
tones or noise, how much its level changes, and how fast the loudness moves.

References:
    J. D. Johnston: Transform coding of audio signals using perceptual noise criteria. IEEE Journal
    on Selected Areas in Communications, 1988 (spectral flatness).
    S. S. Stevens: On the psychophysical law. Psychological Review, 1957 (loudness as a power of
    the intensity).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings

LOWEST_HZ, BANDS, BANDS_PER_OCTAVE = 100.0, 15, 2
"""Lower edge of the lowest band, and the number of bands if the sample rate is high enough."""

WINDOW_SECONDS = 4096 / 48_000
"""Length of the window in which bands are measured, 85 ms. It resolves the lowest band."""

POWER_FLOOR = 1e-9
"""Added to the power of each bin; white noise of the same RMS has about a thousand in each."""

SILENT_PEAK = 1e-3
"""A second is silent if its peak is below this share of the peak of the whole sound."""

ENVELOPE_RATE = 128
"""Frames of the loudness envelope in a second."""

ENVELOPE_WINDOW_SECONDS = 1024 / 48_000
"""Length of the window of the loudness envelope, 21 ms."""

LOUDNESS_EXPONENT = 0.3
"""Loudness of a band is its power to this exponent (Stevens 1957)."""

MODULATION_HZ = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32))
"""Bands of the modulation spectrum; the upper edge is excluded."""

MODULATION_FLOOR = 1e-6
"""Added to the energy of each modulation band, as a share of the energy of the envelope."""

DECIBELS = 10 / math.log(10)
"""Decibels in a unit of the natural logarithm of a power."""


@dataclass(frozen=True, eq=False)
class SecondFeatures:
    """Features of the seconds of one or several sounds, each scaled to an RMS of 1.

    Attributes:
        place: number of the second within its sound, int64 ``[second]``.
        level: log10 of the mean power of each band, float64 ``[second, band]``.
        flatness: natural logarithm of the geometric mean of the bins of a band divided by their
            arithmetic mean, averaged over time, float64 ``[second, band]``. It is -0.58 for
            noise; tones are far below.
        variation: standard deviation over time of the natural logarithm of the power of each
            band, float64 ``[second, band]``.
        modulation: natural logarithm of the share that each of `MODULATION_HZ` has in the energy
            of the modulation of loudness, float64 ``[second, modulation band]``.
        spectrum: log-mel averaged over time, float64 ``[second, n_mels]``.
    """

    place: np.ndarray
    level: np.ndarray
    flatness: np.ndarray
    variation: np.ndarray
    modulation: np.ndarray
    spectrum: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    @property
    def band_rows(self) -> np.ndarray:
        """Level, flatness and variation of each band, float64 ``[second, 3 * band]``."""
        return np.concatenate([self.level, self.flatness, self.variation], axis=1)

    @property
    def rows(self) -> np.ndarray:
        """`band_rows` and the modulation, float64 ``[second, 3 * band + modulation band]``."""
        return np.concatenate([self.band_rows, self.modulation], axis=1)

    def part(self, chosen: np.ndarray) -> SecondFeatures:
        """The chosen seconds, by a mask ``[second]``."""
        return SecondFeatures(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[SecondFeatures]) -> SecondFeatures:
        """The seconds of all parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def band_edges(sample_rate: int) -> np.ndarray:
    """Edges in Hz of the half-octave bands below half the sample rate, ``[band + 1]``."""
    edges = LOWEST_HZ * 2 ** (np.arange(BANDS + 1) / BANDS_PER_OCTAVE)
    return edges[edges <= sample_rate / 2]


def band_centres(sample_rate: int) -> np.ndarray:
    """Middle of each band in Hz, on a logarithmic scale, ``[band]``."""
    edges = band_edges(sample_rate)
    return np.sqrt(edges[:-1] * edges[1:])


def second_features(samples: Tensor, spectrogram: SpectrogramSettings) -> SecondFeatures:
    """Features of the seconds of a sound that are not silent.

    The part after the last whole second is left out. A sound shorter than a second counts as one.

    Args:
        samples: waveform, float32 ``[samples]``.
        spectrogram: settings of the model, for the sample rate and the mean log-mel.
    """
    rate, bands = spectrogram.sample_rate, len(band_edges(spectrogram.sample_rate)) - 1
    peak = float(samples.abs().max()) if len(samples) else 0.0
    rows: list[list[np.ndarray]] = []
    places = []
    for place, start in enumerate(range(0, max(1, len(samples) - rate + 1), rate)):
        second = samples[start : start + rate].float()
        if peak == 0 or second.abs().max() < SILENT_PEAK * peak:
            continue
        second = second / second.square().mean().sqrt()
        measured = (
            *band_measures(spectrum_power(second, rate), rate),
            modulation_shares(second, rate),
            spectrogram.log_mel(_at_least(second, spectrogram.n_fft)).mean(dim=1),
        )
        rows.append([measure.double().numpy() for measure in measured])
        places.append(place)
    widths = (bands, bands, bands, len(MODULATION_HZ), spectrogram.n_mels)
    columns = [
        np.array([row[number] for row in rows]).reshape(-1, width)
        for number, width in enumerate(widths)
    ]
    return SecondFeatures(np.array(places, dtype=np.int64), *columns)


def spectrum_power(
    samples: Tensor, sample_rate: int, seconds: float = WINDOW_SECONDS, hop: int | None = None
) -> Tensor:
    """Power of the bins of a sound, with a floor of `POWER_FLOOR`.

    Args:
        samples: waveform, float32 ``[samples]``.
        sample_rate: sample rate in Hz.
        seconds: length of the window.
        hop: distance of the frames in samples; by default a quarter of the window.

    Returns:
        float32 ``[bin, frame]``.
    """
    size = max(16, round(seconds * sample_rate))
    samples = _at_least(samples, size)
    window = torch.hann_window(size)
    spectrum = torch.stft(samples, size, hop or size // 4, window=window, return_complex=True)
    return spectrum.abs().square() + POWER_FLOOR


def _at_least(samples: Tensor, length: int) -> Tensor:
    """Samples padded with zeros to a length, which the transform needs."""
    return F.pad(samples, (0, max(0, length - len(samples))))


def split_bands(power: Tensor, sample_rate: int) -> list[Tensor]:
    """The bins of each band, ``[bin, frame]`` each, of power ``[bin, frame]``."""
    frequency = np.linspace(0, sample_rate / 2, len(power))
    edges = band_edges(sample_rate)
    bounds = np.searchsorted(frequency, edges)
    return [power[low:high] for low, high in pairwise(bounds)]


def band_measures(power: Tensor, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Level, flatness and variation of each band, see `SecondFeatures`.

    Args:
        power: power of the bins without zeros, ``[bin, frame]``.
        sample_rate: sample rate in Hz.

    Returns:
        Three tensors ``[band]``.
    """
    level, flatness, variation = [], [], []
    for band in split_bands(power, sample_rate):
        total = band.sum(dim=0)
        level.append(total.mean().log10())
        flatness.append((band.log().mean(dim=0) - band.mean(dim=0).log()).mean())
        variation.append(total.log().std() if len(total) > 1 else total.new_zeros(()))
    return torch.stack(level), torch.stack(flatness), torch.stack(variation)


def modulation_shares(samples: Tensor, sample_rate: int) -> Tensor:
    """Logarithms of the shares of the modulation bands in a second of sound.

    The envelope is the loudness summed over the bands. Its mean is removed, and a Hann window
    keeps a slow decay out of the faster bands.

    Args:
        samples: waveform, float32 ``[samples]``, at most a second.
        sample_rate: sample rate in Hz.

    Returns:
        Natural logarithms ``[modulation band]``; without the logarithm they add up to 1.
    """
    hop = max(1, round(sample_rate / ENVELOPE_RATE))
    power = spectrum_power(samples, sample_rate, ENVELOPE_WINDOW_SECONDS, hop)
    frequency = torch.linspace(0, sample_rate / 2, len(power))
    groups = torch.bucketize(frequency, torch.from_numpy(band_edges(sample_rate)).float())
    summed = power.new_zeros(int(groups.max()) + 1, power.shape[1]).index_add_(0, groups, power)
    envelope = summed.pow(LOUDNESS_EXPONENT).sum(dim=0)
    window = torch.hann_window(len(envelope), periodic=False)
    mean = (envelope * window).sum() / window.sum()
    # A second is padded or cut to 128 frames, so that bin k is k changes in a second.
    spectrum = torch.fft.rfft((envelope - mean) * window, n=ENVELOPE_RATE).abs().square()
    floor = MODULATION_FLOOR * torch.fft.rfft(mean * window, n=ENVELOPE_RATE)[0].abs().square()
    energy = torch.stack([spectrum[low:high].sum() + floor for low, high in MODULATION_HZ])
    return (energy / energy.sum()).log()
