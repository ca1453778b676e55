"""The vocoder of torchaudio, which the Distill app uses, as a reference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings, import_torchaudio
from distill_prior_gen.config import Progress


def torchaudio_griffin_lim(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
) -> Tensor:
    """``InverseMelScale`` and 128 iterations of ``GriffinLim``, as the Distill app does it.

    It is slower and less exact than `mel_griffin_lim`, and serves as a reference. `quality` has
    no effect, and the work cannot be interrupted.
    """
    if mel.shape[1] < 2:
        return mel.new_zeros(0)
    transforms = import_torchaudio().transforms
    invert = transforms.InverseMelScale(
        n_stft=spectrogram.n_fft // 2 + 1,
        n_mels=spectrogram.n_mels,
        sample_rate=spectrogram.sample_rate,
        f_min=spectrogram.f_min,
        f_max=spectrogram.f_max,
    )
    griffin_lim = transforms.GriffinLim(
        n_fft=spectrogram.n_fft,
        n_iter=128,
        hop_length=spectrogram.hop_length,
        power=spectrogram.power,
    )
    # On the CPU: torch.linalg.lstsq, which the inversion needs, is not everywhere on GPUs.
    magnitude = invert(mel.cpu().clamp(min=0).expm1())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.integers(2**63)))
        return griffin_lim(magnitude)
