"""Log-mel spectrograms as the models see them."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
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

MOST_HOPS = 128
"""Frames to a window."""

MOST_WEIGHTS = 2**24
"""Weights of a filter bank, bins times bands; the default settings have 131,200."""

MOST_BINS = 2**22
"""Bins of all frames of a second; the default settings have 96,094."""

MOST_BANDS = 2**19
"""Mel bands of all frames of a second; the default settings have 12,000."""


@dataclass(frozen=True)
class SpectrogramSettings:
    """Short-time Fourier transform and mel filter bank of a model.

    The transform is centred (padded by half a window at both ends) with a periodic
    Hann window of `n_fft` samples; the filter bank is torchaudio's default (HTK scale,
    no norm).

    Args:
        sample_rate: in Hz.
        n_fft: window and transform length in samples.
        hop_length: samples from frame to frame, from ``n_fft / 128`` to `n_fft`.
        n_mels: mel bands.
        f_min, f_max: outer edges of the bands in Hz; None is half the sample rate.
        power: exponent of the magnitudes, 2 for power and 1 for amplitude.

    Raises:
        ValueError: naming the field, its value and what it may be; also if the settings together
            need more than `MOST_WEIGHTS`, `MOST_BINS` or `MOST_BANDS`.
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
        """Refuse sizes that are possible each, but together more than a machine can serve."""
        bins, frames = self.n_fft // 2 + 1, self.sample_rate / self.hop_length
        if self.n_fft > MOST_HOPS * self.hop_length:
            raise ValueError(
                f"hop_length must be at least n_fft / {MOST_HOPS} ({self.n_fft / MOST_HOPS:g}), "
                f"not {self.hop_length}"
            )
        if bins * self.n_mels > MOST_WEIGHTS:
            raise ValueError(
                f"n_fft {self.n_fft} with n_mels {self.n_mels} needs a filter bank of more than "
                f"{MOST_WEIGHTS} weights"
            )
        if frames * bins > MOST_BINS or frames * self.n_mels > MOST_BANDS:
            raise ValueError(
                f"sample_rate {self.sample_rate} with hop_length {self.hop_length}, n_fft "
                f"{self.n_fft} and n_mels {self.n_mels} needs more than {MOST_BINS} bins or "
                f"{MOST_BANDS} bands for a second of sound"
            )

    def frames(self, samples: int) -> int:
        """Frames of a spectrogram of that many samples."""
        return samples // self.hop_length + 1

    def frames_to_cover(self, samples: int) -> int:
        """Fewest frames whose waveform, ``(frames - 1) * hop_length`` samples, has that many."""
        return math.ceil(samples / self.hop_length) + 1

    def filter_bank(self) -> Tensor:
        """Mel weights, float32 ``[n_fft // 2 + 1, n_mels]``."""
        return import_torchaudio().functional.melscale_fbanks(
            self.n_fft // 2 + 1,
            self.f_min,
            self.sample_rate / 2 if self.f_max is None else self.f_max,
            self.n_mels,
            self.sample_rate,
        )

    def log_mel(self, samples: Tensor) -> Tensor:
        """``log1p`` of the mel power, float32 ``[..., n_mels, frames]``, of ``[..., samples]``."""
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


def import_torchaudio() -> ModuleType:
    """torchaudio, or an ImportError that says which versions to install."""
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
