"""What pictures of sound have in common: levels, and ticks at frequencies."""

from __future__ import annotations

import numpy as np
import torch

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.pictures import power_decibels

TICKS_HZ = (100, 500, 1000, 2000, 5000, 10_000, 20_000)


def decibels(samples: np.ndarray, spectrogram: SpectrogramSettings) -> np.ndarray:
    """Log-mel of ``[samples]`` in dB below its loudest bin, float32 ``[n_mels, frames]``."""
    # The STFT needs half a window on either side, which a short take does not have.
    missing = max(0, spectrogram.n_fft // 2 + 1 - len(samples))
    audio = torch.from_numpy(np.pad(samples, (0, missing)))
    return power_decibels(spectrogram.log_mel(audio).expm1().numpy())


def hertz_ticks(spectrogram: SpectrogramSettings) -> tuple[list[float], list[str]]:
    """Ticks at round frequencies for an axis of mel bands: positions and labels."""
    top = spectrogram.f_max or spectrogram.sample_rate / 2
    shown = [hertz for hertz in TICKS_HZ if spectrogram.f_min <= hertz <= top]
    return [spectrogram.band_at(hertz) for hertz in shown], [f"{hertz:,}" for hertz in shown]
