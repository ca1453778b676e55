"""Methods that turn a mel spectrogram into a waveform."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import close_loop, resample_loop, stretch_loop
from distill_prior_gen.audio.mel import SpectrogramSettings, import_torchaudio
from distill_prior_gen.config import Progress

Invert = Callable[..., Tensor]
"""Function from a log-mel ``[n_mels, frames]``, its settings, a random generator, one of
`QUALITIES` and a progress callback to ``(frames - 1) * hop_length`` float32 samples."""


@dataclass(frozen=True)
class Vocoder:
    """A method to turn a mel into sound; see the hook `distill_register_vocoders`."""

    invert: Invert
    loops: bool = False


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


def invert_loop(
    vocoder: Vocoder,
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
    samples: int,
    overlap: int,
) -> Tensor:
    """Invert a looping log-mel to a waveform that loops as well.

    A vocoder that cannot invert loops receives the mel with repeats of it at both ends; then the
    end of the waveform is faded into its beginning.

    Args:
        vocoder: the method.
        mel, spectrogram, generator, quality, progress: its arguments, see `Invert`.
        samples: length of the loop, over which the frames are spread evenly.
        overlap: samples of the fade.

    Returns:
        float32 ``[samples]``.
    """
    if vocoder.loops:
        arguments = mel, spectrogram, generator, quality, progress
        return vocoder.invert(*arguments, loop_samples=samples)
    hop, frames = spectrogram.hop_length, round(samples / spectrogram.hop_length)
    mel = stretch_loop(mel, frames)
    around = math.ceil((spectrogram.n_fft + overlap) / hop)
    place = torch.arange(-around, frames + around, device=mel.device) % frames
    sound = vocoder.invert(mel[:, place], spectrogram, generator, quality, progress)
    sound = close_loop(sound[around * hop :][: frames * hop + overlap], overlap)
    return resample_loop(sound, samples)
