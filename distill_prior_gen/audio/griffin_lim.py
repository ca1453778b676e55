"""Phase reconstruction that is held to the mel spectrogram itself.

Griffin and Lim (1984) go back and forth between a waveform and its transform, whose
magnitudes have to be known. Here only their mel bands are: so in every iteration
each bin is scaled by a smooth, positive gain that brings the bands of the waveform
to those asked for, and keeps its phase. A mel that a network decoded is the mel of
no waveform; to estimate the bins from it beforehand, as is usual, makes errors that
no number of iterations takes back.

References:
    D. W. Griffin, J. S. Lim: Signal estimation from modified short-time Fourier
    transform. IEEE Transactions on Acoustics, Speech, and Signal Processing, 1984.
    N. Perraudin, P. Balazs, P. L. Søndergaard: A fast Griffin-Lim algorithm.
    WASPAA, 2013 (the momentum).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import Progress

ITERATIONS = {"fast": 16, "normal": 48, "best": 128}

MOMENTUM = 0.9
CORRECTION = 1.2
"""Exponent of the gain: a little too much converges faster, as long as it is below
``2 * (1 + MOMENTUM) / (1 + 2 * MOMENTUM)``, which is 1.36."""

FLOOR = 1e-6
"""Added to mel power before its logarithm is taken."""

LOUDEST = 25.0
"""Log amplitudes above this are taken for this, so that all powers stay finite in float32."""

BLOCK = 512
"""Frames that are transformed at once, which bounds the memory that long takes need."""

BAND_GROUP = 16
"""Mel bands that are multiplied together; the filter bank is zero nearly everywhere else."""


@torch.no_grad()
def mel_griffin_lim(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
    loop_samples: int | None = None,
) -> Tensor:
    """Waveform of a log-mel spectrogram.

    Args:
        mel: log1p mel power, float32 ``[n_mels, frames]``, on any device.
        spectrogram: its settings.
        generator: of the noise that the waveform starts from.
        quality: one of `ITERATIONS`.
        progress: called in every iteration; what it raises ends the work.
        loop_samples: length of a loop, over which the frames lie evenly: the end of the mel
            leads into its start, and that of the waveform.

    Returns:
        float32 ``[(frames - 1) * hop_length]`` or ``[loop_samples]``, on the device of `mel`.
    """
    frames = mel.shape[1]
    if frames < 2 and loop_samples is None:
        return mel.new_zeros(0)
    loudest = LOUDEST * spectrogram.power
    target = mel.mT.clamp(0, loudest).expm1().add(FLOOR).log()
    correction = MelCorrection(spectrogram, mel.device)
    transform: Transform | LoopTransform
    if loop_samples is None:
        transform = Transform(spectrogram, frames, mel.device)
    else:
        transform = LoopTransform(spectrogram, frames, loop_samples, mel.device)
    noise = generator.standard_normal(transform.length, dtype=np.float32)
    wave = previous = torch.from_numpy(noise).to(mel.device)
    iterations = ITERATIONS[quality]
    for iteration in range(iterations):
        progress(iteration / iterations, "Reconstructing the waveform...")
        last = iteration == iterations - 1
        strength = 1.0 if last else CORRECTION

        def correct(spectra: Tensor, block: slice, strength: float = strength) -> Tensor:
            return correction(spectra, target[block], strength)

        result = transform.filter(wave, correct)
        wave = result if iteration == 0 or last else torch.lerp(previous, result, 1 + MOMENTUM)
        previous = result
    return wave[transform.inside].clone()


class Transform:
    """Centred short-time Fourier transform and its least-squares inverse.

    Waveforms have half a window of padding at both ends, `length` samples in all.
    """

    def __init__(self, spectrogram: SpectrogramSettings, frames: int, device: torch.device) -> None:
        self.hop, self.size, self.frames = spectrogram.hop_length, spectrogram.n_fft, frames
        samples = (frames - 1) * self.hop
        self.length = samples + self.size
        self.inside = slice(self.size // 2, self.size // 2 + samples)
        # The padding is the mirror image of what is inside, several times over if that is short.
        before = torch.arange(-self.inside.start, 0, device=device)
        after = torch.arange(samples, samples + self.size - self.inside.start, device=device)
        period = max(1, 2 * (samples - 1))
        self.left, self.right = (
            self.inside.stop - 1 - (place.remainder(period) - (samples - 1)).abs()
            for place in (before, after)
        )
        self.window = torch.hann_window(self.size, device=device)
        weight = self._overlap_add([(slice(0, frames), self.window.square().expand(frames, -1))])
        # Where windows hardly overlap there is next to nothing to divide.
        self.weight = weight.clamp(min=0.05 * float(weight.max()))

    def filter(self, wave: Tensor, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """The waveform whose transform is nearest to the changed transform of `wave`.

        Args:
            wave: ``[length]``; its padding is overwritten.
            change: gets spectra, complex ``[frame, bin]``, and which frames they are of.
        """
        wave[: self.inside.start] = wave[self.left]
        wave[self.inside.stop :] = wave[self.right]
        windows = wave.as_strided((self.frames, self.size), (self.hop, 1))

        def changed() -> Iterator[tuple[slice, Tensor]]:
            for start in range(0, self.frames, BLOCK):
                block = slice(start, min(start + BLOCK, self.frames))
                spectra = change(torch.fft.rfft(windows[block] * self.window), block)
                yield block, torch.fft.irfft(spectra, n=self.size).mul_(self.window)

        return self._overlap_add(changed()).div_(self.weight)

    def _overlap_add(self, blocks: Iterable[tuple[slice, Tensor]]) -> Tensor:
        # A frame is added in rows of one hop, the last of them shorter if hops do not divide it.
        rows = math.ceil(self.size / self.hop)
        total = self.window.new_zeros(self.frames + rows - 1, self.hop)
        for block, frames in blocks:
            for row, part in enumerate(frames.split(self.hop, dim=1)):
                total[block.start + row : block.stop + row, : part.shape[1]] += part
        return total.flatten()[: self.length]


class LoopTransform:
    """As `Transform`, of a loop: windows go round, and frames lie evenly, whatever the hop."""

    def __init__(
        self, spectrogram: SpectrogramSettings, frames: int, samples: int, device: torch.device
    ) -> None:
        self.size, self.length, self.inside = spectrogram.n_fft, samples, slice(0, samples)
        middles = torch.arange(frames, device=device) * samples // frames
        self.starts = middles - self.size // 2
        self.window = torch.hann_window(self.size, device=device)
        self.weight = torch.ones(samples, device=device)
        weight = self.filter(self.weight, lambda spectra, block: spectra)
        # Where windows hardly overlap there is next to nothing to divide.
        self.weight = weight.clamp(min=0.05 * float(weight.max()))

    def filter(self, wave: Tensor, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """As `Transform.filter`, of a wave ``[length]``."""
        inside_window = torch.arange(self.size, device=wave.device)
        total = torch.zeros_like(wave)
        for start in range(0, len(self.starts), BLOCK):
            block = slice(start, min(start + BLOCK, len(self.starts)))
            place = (self.starts[block, None] + inside_window) % self.length
            spectra = change(torch.fft.rfft(wave[place] * self.window), block)
            frames = torch.fft.irfft(spectra, n=self.size).mul_(self.window)
            total.index_add_(0, place.flatten(), frames.flatten())
        return total.div_(self.weight)


class MelCorrection:
    """Scales spectra so that their mel bands come to a target.

    The filter bank is applied by groups of bands and its transpose by groups of bins,
    each to no more bins and bands than have a weight in common with it.
    """

    def __init__(self, spectrogram: SpectrogramSettings, device: torch.device) -> None:
        self.power = spectrogram.power
        bank = spectrogram.filter_bank().to(device)
        weight = bank.sum(dim=1, keepdim=True)
        self.heard = _extent(weight > 0)
        spread = (bank / weight.where(weight > 0, 1)).mT
        self.to_bands, self.to_bins = [], []
        for first in range(0, bank.shape[1], BAND_GROUP):
            bands = slice(first, first + BAND_GROUP)
            bins = _extent(bank[:, bands].any(dim=1))
            self.to_bands.append((bins, bands, bank[bins, bands].contiguous()))
        edges = sorted({bins.start for bins, *_ in self.to_bands} | {self.heard.stop})
        for start, stop in pairwise(edges):
            bands = _extent(bank[start:stop].any(dim=0))
            weights = spread[bands, start:stop].contiguous()
            self.to_bins.append((slice(start, stop), bands, weights))

    def __call__(self, spectra: Tensor, target: Tensor, strength: float) -> Tensor:
        """Scale `spectra` in place.

        Args:
            spectra: complex ``[frame, bin]``.
            target: logarithm of the mel power ``[frame, band]``.
            strength: exponent of the gain, 1 to come to the target.
        """
        real, imaginary = torch.view_as_real(spectra).unbind(-1)
        power = real.square().addcmul_(imaginary, imaginary)
        if self.power != 2:
            power.pow_(self.power / 2)
        bands = torch.empty_like(target)
        for from_bins, to_bands, weights in self.to_bands:
            torch.mm(power[:, from_bins], weights, out=bands[:, to_bands])
        ratio = (target - bands.add_(FLOOR).log_()).mul_(strength / self.power)
        gain = power
        for to_bins, from_bands, weights in self.to_bins:
            torch.mm(ratio[:, from_bands], weights, out=gain[:, to_bins])
        spectra[:, self.heard].mul_(gain[:, self.heard].exp_())
        spectra[:, : self.heard.start] = 0
        spectra[:, self.heard.stop :] = 0
        return spectra


def _extent(mask: Tensor) -> slice:
    """From the first to the last that is True."""
    places = mask.nonzero()[:, 0]
    return slice(int(places.min()), int(places.max()) + 1) if len(places) else slice(0, 0)
