"""Putting new sound into a waveform without changing the rest of it.

References:
    D. W. Griffin, J. S. Lim: Signal estimation from modified short-time Fourier
    transform. IEEE Transactions on Acoustics, Speech, and Signal Processing, 1984.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill_prior_gen.audio.griffin_lim import Transform
from distill_prior_gen.audio.joining import rising_fade
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.neural_vocoder import set_magnitudes

ITERATIONS = 32

FADE_S = 0.01
"""Length of the crossfades at both borders, where the waveforms are nearly the same by then."""


@torch.no_grad()
def splice(
    old: Tensor, new: Tensor, start: int, end: int, spectrogram: SpectrogramSettings
) -> Tensor:
    """Replace samples by others that sound like a new waveform and continue the old one.

    Two renderings of the same spectrum differ in phase, so that a crossfade would cancel parts of
    it. Here the new samples keep the magnitudes of their transform, and in every iteration the
    samples around them become those of the old waveform again, to which the phase adapts.

    Args:
        old: float32 ``[samples]``.
        new: the same moments with another sound from `start` to `end`, float32 ``[samples]``.
        start, end: first sample that is replaced and the one after the last.
        spectrogram: settings of the transform.

    Returns:
        float32 ``[samples]``, equal to `old` outside of `start` and `end`.
    """
    frames = len(old) // spectrogram.hop_length + 1
    transform = Transform(spectrogram, frames, old.device)
    covered = transform.inside.stop - transform.inside.start
    begin, stop = min(start, covered), min(end, covered)
    target = []

    def remember(spectra: Tensor, block: slice) -> Tensor:
        target.append(spectra.abs())
        return spectra

    def change(spectra: Tensor, block: slice) -> Tensor:
        return set_magnitudes(spectra, magnitudes[block])

    def padded(samples: Tensor) -> Tensor:
        wave = samples.new_zeros(transform.length)
        wave[transform.inside] = samples[:covered]
        return wave

    transform.filter(padded(new), remember)
    magnitudes = torch.cat(target)
    size = spectrogram.n_fft
    around = [slice(max(0, border - size), border + size) for border in (begin, stop)]
    # The polarity is not heard, but it decides whether the two waveforms cancel each other.
    alike = sum(float(old[place] @ new[place]) for place in around)
    wave = new if alike >= 0 else -new
    for _ in range(ITERATIONS):
        wave = torch.cat([old[:begin], wave[begin:stop], old[stop:]])
        result = transform.filter(padded(wave), change)[transform.inside]
        wave = torch.cat([result, old[covered:]])
    weight = torch.zeros_like(old)
    weight[begin:stop] = 1
    fade = min(round(FADE_S * spectrogram.sample_rate), (stop - begin) // 2)
    if begin > 0:
        weight[begin : begin + fade] = rising_fade(fade).to(old)
    if stop < len(old):
        weight[stop - fade : stop] = rising_fade(fade).flip(0).to(old)
    return torch.lerp(old, wave, weight)
