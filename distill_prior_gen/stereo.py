"""Stereo from mono: what both channels have in common stays as it is.

The waveform is the mid signal, half the sum of left and right. The side signal, half their
difference, is a second phase for the same magnitudes, which Griffin-Lim finds from other noise.

References:
    D. W. Griffin, J. S. Lim: Signal estimation from modified short-time Fourier
    transform. IEEE Transactions on Acoustics, Speech, and Signal Processing, 1984.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.griffin_lim import LoopTransform, Transform, iterate
from distill_prior_gen.audio.joining import fade_ends
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import no_progress
from distill_prior_gen.neural_vocoder import set_magnitudes

WINDOW_S = 0.02
"""Length of the window, about which attacks are smeared in the side signal."""

LONG_WINDOWS = 8
"""Length of the windows with which the side signal is limited, in windows."""

ITERATIONS = 24

SECTION_FRAMES = 4096
"""Frames that are made at once, which bounds the memory for long takes."""

MAX_SIDE = 0.48
"""Amplitude of the side signal in relation to the mid signal. With it the mean power of the
channels is less than 1 dB above that of their mono sum."""

MONO_HZ, WIDE_HZ = 150.0, 4000.0
"""Below the first frequency there is no side signal; up to the second it rises."""

BALANCED_BANDS, LIMITED_BANDS = 3, 12
"""Bands of an octave in which both channels are equally loud at each moment, and in which the side
signal is not louder than it may be."""


def side_signal(
    mid: Tensor, sample_rate: int, width: float, noise: np.random.Generator, loop: bool
) -> Tensor:
    """Half the difference of the channels of a stereo sound whose mono sum is given.

    Args:
        mid: the mono sum, float32 ``[samples]``.
        sample_rate: in Hz.
        width: from 0 to 1.
        noise: source of the noise that the waveform starts from.
        loop: whether the end leads into the beginning.

    Returns:
        float32 ``[samples]``; the channels are `mid` plus and minus it.
    """
    size = _window(sample_rate)
    hop, samples = size // 4, len(mid)
    spectrogram = SpectrogramSettings(sample_rate, size, hop, n_mels=1)
    frames = math.ceil(samples / hop) + 1
    first = torch.from_numpy(noise.standard_normal(frames * hop + size, dtype=np.float32))
    if loop:
        circle = LoopTransform(spectrogram, frames, samples, mid.device)
        side = _side(circle, mid, first[:samples].clone(), sample_rate, width)
        return _limit(side, mid, sample_rate, width, loop)
    padded = torch.nn.functional.pad(mid, (0, (frames - 1) * hop - samples))
    # A sample depends on the frames within as many windows as there are iterations.
    margin, parts = 4 * ITERATIONS, []
    for start in range(0, frames - 1, SECTION_FRAMES):
        stop = min(start + SECTION_FRAMES, frames - 1)
        begin, end = max(0, start - margin), min(frames, stop + margin + 1)
        transform = Transform(spectrogram, end - begin, mid.device)
        wave = torch.zeros(transform.length)
        wave[transform.inside] = padded[begin * hop : (end - 1) * hop]
        section = first[begin * hop :][: transform.length].clone()
        side = _side(transform, wave, section, sample_rate, width)
        parts.append(side[(start - begin) * hop : (stop - begin) * hop])
    side = _limit(torch.cat(parts)[:samples], mid, sample_rate, width, loop)
    return fade_ends(side, sample_rate)


def _side(
    transform: Transform | LoopTransform,
    mid: Tensor,
    noise: Tensor,
    sample_rate: int,
    width: float,
) -> Tensor:
    """The side signal without padding; `mid` and `noise` are waveforms with padding."""
    bins = transform.size // 2 + 1
    hertz = torch.arange(bins) * sample_rate / transform.size
    weight = MAX_SIDE * width * _rise(hertz)
    bands = _bands(hertz, BALANCED_BANDS)
    spectra: list[Tensor] = []

    def remember(block_spectra: Tensor, block: slice) -> Tensor:
        spectra.append(block_spectra.clone())
        return block_spectra

    transform.filter(mid.clone(), remember)
    target = torch.cat(spectra)
    magnitudes = target.abs()

    def change(block_spectra: Tensor, block: slice, last: bool) -> Tensor:
        changed = set_magnitudes(block_spectra, magnitudes[block])
        if not last:
            return changed
        # Without what it has in common with the mid signal, both channels are equally loud.
        common = (changed * target[block].conj()).real @ bands
        common /= (magnitudes[block].square() @ bands).clamp(min=1e-12)
        return (changed - target[block] * (common @ bands.mT)) * weight

    return iterate(transform, noise, change, ITERATIONS, no_progress)


def _limit(side: Tensor, mid: Tensor, sample_rate: int, width: float, loop: bool) -> Tensor:
    """A side signal that is in no band louder in relation to the mid signal than it may be.

    Beside a loud tone it is, since the sum of overlapping windows is less regular than each of
    them. The windows are so long here that the bands are told apart.

    Args:
        side, mid: float32 ``[samples]``.
        sample_rate: in Hz.
        width: from 0 to 1.
        loop: whether the end leads into the beginning.

    Returns:
        float32 ``[samples]``.
    """
    size, samples = LONG_WINDOWS * _window(sample_rate), len(mid)
    spectrogram = SpectrogramSettings(sample_rate, size, size // 4, n_mels=1)
    frames = math.ceil(samples / spectrogram.hop_length) + 1
    transform: Transform | LoopTransform = Transform(spectrogram, frames, mid.device)
    if loop:
        transform = LoopTransform(spectrogram, frames, samples, mid.device)
    bands = _bands(torch.arange(size // 2 + 1) * sample_rate / size, LIMITED_BANDS)
    allowed: list[Tensor] = []

    def measure(spectra: Tensor, block: slice) -> Tensor:
        allowed.append((MAX_SIDE * width * spectra.abs()).square() @ bands)
        return spectra

    def limit(spectra: Tensor, block: slice) -> Tensor:
        power = spectra.abs().square() @ bands
        gain = (most[block] / power.clamp(min=1e-12)).clamp(max=1).sqrt()
        return spectra * (gain @ bands.mT)

    def padded(signal: Tensor) -> Tensor:
        wave = torch.zeros(transform.length)
        wave[transform.inside.start :][:samples] = signal
        return wave

    transform.filter(padded(mid), measure)
    most = torch.cat(allowed)
    return transform.filter(padded(side), limit)[transform.inside][:samples]


def _window(sample_rate: int) -> int:
    """Samples of the window."""
    return 1 << max(4, round(math.log2(WINDOW_S * sample_rate)))


def _rise(hertz: Tensor) -> Tensor:
    """Share of the full side signal at frequencies, from 0 to 1."""
    octaves = (hertz.clamp(min=1e-9) / MONO_HZ).log2() / math.log2(WIDE_HZ / MONO_HZ)
    return torch.sin(octaves.clamp(0, 1) * math.pi / 2).square()


def _bands(hertz: Tensor, per_octave: int) -> Tensor:
    """To which band each frequency belongs, float32 ``[frequency, band]`` of zeros and ones."""
    number = (per_octave * (hertz.clamp(min=MONO_HZ) / MONO_HZ).log2()).long()
    return torch.nn.functional.one_hot(number).float()
