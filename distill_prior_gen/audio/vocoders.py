"""Methods that turn a mel spectrogram into a waveform."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import close_loop, resample_loop, stretch_loop
from distill_prior_gen.audio.mel import SpectrogramSettings, import_torchaudio
from distill_prior_gen.config import QUALITIES, GenerationConfig, Progress, no_progress
from distill_prior_gen.plugins import Vocoder, choose, vocoders
from distill_prior_gen.sampling.random_streams import PHASE, stream
from distill_prior_gen.torch_state import take_state

Invert = Callable[..., Tensor]
"""(log-mel ``[n_mels, frames]``, its settings, a random generator, one of `QUALITIES`, progress)
to float32 samples, ``(frames - 1) * hop_length`` of them."""


def torchaudio_griffin_lim(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
) -> Tensor:
    """``InverseMelScale`` and 128 iterations of ``GriffinLim``, as the Distill app does it.

    The reference to compare with: slower than `mel_griffin_lim`, and worse. `quality`
    changes nothing, and the work cannot be interrupted.
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
    """Waveform of a log-mel whose end leads into its start, and that does so itself.

    A vocoder that cannot do loops gets the mel with more of it at both ends; then the end of
    the waveform is faded into its beginning.

    Args:
        samples: how long the loop is; the frames lie evenly in it.
        overlap: samples of that fade.

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


def invert_mel(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    vocoder: str = GenerationConfig.vocoder,
    quality: str = GenerationConfig.quality,
    seed: int = 0,
) -> Tensor:
    """Waveform of a log-mel spectrogram.

    Args:
        mel: log1p mel power, float32 ``[n_mels, frames]``, or ``[take, n_mels, frames]``, which
            are inverted with the seeds `seed`, ``seed + 1`` and so on.
        spectrogram: its settings, such as ``model.spectrogram``.
        vocoder: name of the method.
        quality: one of `QUALITIES`.
        seed: of the noise that the waveform starts from; the same gives the same samples.

    Returns:
        float32 ``[(frames - 1) * hop_length]``, or ``[take, (frames - 1) * hop_length]``.

    Raises:
        ValueError: if there is no such vocoder or quality.
    """
    invert = choose("vocoder", vocoder, vocoders()).invert
    if quality not in QUALITIES:
        raise ValueError(f"quality must be one of {', '.join(QUALITIES)}, not {quality!r}")
    if mel.dim() == 3:
        takes = [
            invert_mel(take, spectrogram, vocoder, quality, seed + index)
            for index, take in enumerate(mel)
        ]
        return torch.stack(takes)
    with take_state(mel.device):
        return invert(mel, spectrogram, stream(seed, PHASE), quality, no_progress)
