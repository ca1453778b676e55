"""Log-mel spectrograms of the models."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from types import ModuleType

import torch
from torch import Tensor

from distill_prior_gen.validation import check_number

SPECTROGRAM_LIMITS: dict[str, tuple[float, float]] = {
    "sample_rate": (1_000, 768_000),
    "n_fft": (16, 65_536),
    "hop_length": (1, 65_536),
    "n_mels": (1, 4_096),
    "f_min": (0.0, 384_000.0),
    "power": (0.1, 4.0),
}

MAX_OVERLAP = 128
"""Largest ratio of the window to the hop."""

MAX_WEIGHTS = 2**24
"""Weights of a filter bank, bins times bands. The default settings have 131,200."""

MAX_BINS = 2**22
"""Bins of all frames of a second. The default settings have 96,094."""

MAX_BANDS = 2**19
"""Mel bands of all frames of a second. The default settings have 12,000."""

MIN_BAND_WEIGHT, MIN_DENSITY = 1e-6, 1e-5
"""Limits that keep the guess of the magnitudes finite where a band is empty or silent."""


@dataclass(frozen=True)
class SpectrogramSettings:
    """Short-time Fourier transform and mel filter bank of a model.

    The transform is centred (padded by half a window at both ends) with a periodic
    Hann window of `n_fft` samples; the filter bank is torchaudio's default (HTK scale,
    no norm).

    Args:
        sample_rate: sample rate in Hz.
        n_fft: length of the window and the transform in samples.
        hop_length: distance of frames in samples, from ``n_fft / 128`` to `n_fft`.
        n_mels: number of mel bands.
        f_min: lower edge of the lowest band in Hz.
        f_max: upper edge of the highest band in Hz; None is half the sample rate.
        power: exponent of the magnitudes, 2 for power and 1 for amplitude.

    Raises:
        ValueError: naming the field, its value and what it may be. Also if the settings together
            need more than `MAX_WEIGHTS`, `MAX_BINS` or `MAX_BANDS`.
    """

    sample_rate: int = 48_000
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float | None = None
    power: float = 2.0

    def __post_init__(self) -> None:
        for field, (low, high) in SPECTROGRAM_LIMITS.items():
            whole = field not in ("f_min", "power")
            check_number(field, getattr(self, field), low, high, whole)
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length must be at most n_fft ({self.n_fft}), not {self.hop_length}"
            )
        nyquist = self.sample_rate / 2
        top = nyquist if self.f_max is None else self.f_max
        if not (isinstance(top, (int, float)) and self.f_min < top <= nyquist):
            raise ValueError(
                f"f_max must be above f_min ({self.f_min:g}) and at most half the sample rate "
                f"({nyquist:g}), not {reprlib.repr(self.f_max)}"
            )
        self._check_cost()

    def _check_cost(self) -> None:
        """Refuse sizes that are allowed each, but need too much memory together."""
        bins, frames = self.n_fft // 2 + 1, self.sample_rate / self.hop_length
        shortest = self.n_fft / MAX_OVERLAP
        if self.hop_length < shortest:
            raise ValueError(
                f"hop_length must be at least n_fft / {MAX_OVERLAP} ({shortest:g}), "
                f"not {self.hop_length}"
            )
        if bins * self.n_mels > MAX_WEIGHTS:
            raise ValueError(
                f"n_fft {self.n_fft} with n_mels {self.n_mels} needs a filter bank of more than "
                f"{MAX_WEIGHTS} weights"
            )
        if frames * bins > MAX_BINS or frames * self.n_mels > MAX_BANDS:
            raise ValueError(
                f"sample_rate {self.sample_rate} with hop_length {self.hop_length}, n_fft "
                f"{self.n_fft} and n_mels {self.n_mels} needs more than {MAX_BINS} bins or "
                f"{MAX_BANDS} bands for a second of sound"
            )

    def frames(self, samples: int) -> int:
        """Number of frames of the spectrogram of `samples` samples."""
        return samples // self.hop_length + 1

    def frames_to_cover(self, samples: int) -> int:
        """Smallest number of frames whose waveform is not shorter than `samples` samples."""
        return math.ceil(samples / self.hop_length) + 1

    def filter_bank(self) -> Tensor:
        """Weights of the mel bands, float32 ``[n_fft // 2 + 1, n_mels]``."""
        return import_torchaudio().functional.melscale_fbanks(
            self.n_fft // 2 + 1,
            self.f_min,
            self.sample_rate / 2 if self.f_max is None else self.f_max,
            self.n_mels,
            self.sample_rate,
        )

    def guess_log_magnitudes(self, mel: Tensor) -> Tensor:
        """First guess of the STFT's log magnitudes: each bin has the mean of its mel bands.

        Bins outside of all bands have the magnitude of the nearest bin within one.

        Args:
            mel: log-mels ``[..., n_mels, frames]``.

        Returns:
            float32 ``[..., frames, n_fft // 2 + 1]``.
        """
        band_weights, spread = (t.to(mel.device) for t in _band_means(self))
        density = mel.expm1().clamp(min=0).mT / band_weights
        return (density + MIN_DENSITY).log() @ spread / self.power

    def band_at(self, hertz: float) -> float:
        """Position of a frequency on an axis of mel bands, from 0 to `n_mels`."""
        low, mel, high = (2595 * math.log10(1 + f / 700) for f in (self.f_min, hertz, self.top))
        return self.n_mels * (mel - low) / (high - low)

    def hertz_at(self, band: float) -> float:
        """Frequency at a position on an axis of mel bands, from 0 to `n_mels`."""
        low, high = (2595 * math.log10(1 + f / 700) for f in (self.f_min, self.top))
        return 700 * (10 ** ((low + (high - low) * band / self.n_mels) / 2595) - 1)

    @property
    def top(self) -> float:
        """Upper edge of the highest band in Hz."""
        return self.sample_rate / 2 if self.f_max is None else self.f_max

    def log_mel(self, samples: Tensor) -> Tensor:
        """Log-mel of samples ``[..., samples]``: ``log1p`` of the mel power.

        Returns:
            float32 ``[..., n_mels, frames]``.
        """
        spectrum = torch.stft(
            samples,
            self.n_fft,
            self.hop_length,
            window=torch.hann_window(self.n_fft, device=samples.device),
            return_complex=True,
        )
        magnitude = spectrum.abs().pow(self.power)
        bank = self.filter_bank().to(samples.device)
        return (magnitude.mT @ bank).mT.log1p()


@lru_cache(maxsize=4)
def _band_means(spectrogram: SpectrogramSettings) -> tuple[Tensor, Tensor]:
    """Sum of the weights of each band, ``[n_mels]``, and share of the bands in each bin.

    Returns:
        The second is float32 ``[n_mels, n_fft // 2 + 1]``.
    """
    bank = spectrogram.filter_bank()
    weights = bank.sum(dim=1, keepdim=True)
    shares = bank / weights.where(weights > 0, 1)
    heard = (weights[:, 0] > 0).nonzero()[:, 0]
    if len(heard):
        bins = torch.arange(len(bank))
        above = heard[torch.searchsorted(heard, bins).clamp(max=len(heard) - 1)]
        below = heard[(torch.searchsorted(heard, bins, right=True) - 1).clamp(min=0)]
        shares = shares[torch.where((above - bins).abs() < (bins - below).abs(), above, below)]
    return bank.sum(dim=0).clamp(min=MIN_BAND_WEIGHT), shares.mT.contiguous()


def import_torchaudio() -> ModuleType:
    """Import torchaudio, or raise an ImportError that tells which versions to install."""
    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError) as error:
        installed = " and ".join(
            f"{name} {metadata.version(name)}" for name in ("torch", "torchaudio")
        )
        raise ImportError(
            f"{installed} do not work together; install a pair that does: "
            "pip install 'torch==2.10.*' 'torchaudio==2.10.*'"
        ) from error
    return torchaudio
