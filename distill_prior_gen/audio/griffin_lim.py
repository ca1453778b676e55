"""Phase reconstruction from a mel spectrogram.

The algorithm of Griffin and Lim (1984) alternates between a waveform and its transform, whose
magnitudes must be known. Here only the mel bands are known. In every iteration each bin is
multiplied by a smooth, positive gain that brings the bands of the waveform to the target; its phase
is kept. The usual way is to estimate the magnitudes of the bins beforehand. But the mel that a
network decodes is not the mel of any waveform, and no number of iterations corrects the errors of
the estimate.

The transform is written out here, rather than taken from ``torch.stft`` and ``torch.istft``,
because loops need windows that wrap around, hops need not divide the window, and the memory for
long takes is bounded by transforming blocks of frames.

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
"""Exponent of the gain. A little more than 1 converges faster, as long as it is below
``2 * (1 + MOMENTUM) / (1 + 2 * MOMENTUM)``, which is 1.36."""

FLOOR = 1e-6
"""Added to mel power before its logarithm is taken."""

MAX_LOG_AMPLITUDE = 25.0
"""Upper limit of log amplitudes, so that all powers are finite in float32."""

BLOCK_FRAMES = 512
"""Frames that are transformed at once, which bounds the memory for long takes."""

BAND_GROUP = 16
"""Mel bands that are multiplied together. The filter bank is zero nearly everywhere else."""


@torch.no_grad()
def mel_griffin_lim(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
    loop_samples: int | None = None,
) -> Tensor:
    """Reconstruct a waveform from a log-mel spectrogram.

    Args:
        mel: log1p mel power, float32 ``[n_mels, frames]``, on any device.
        spectrogram: its settings.
        generator: source of the noise that the waveform starts from.
        quality: one of `ITERATIONS`.
        progress: called in every iteration. An exception that it raises ends the work.
        loop_samples: length of a loop, or None. The frames are spread evenly over the loop, and
            the end of the mel leads into its start.

    Returns:
        float32 ``[(frames - 1) * hop_length]`` or ``[loop_samples]``, on the device of `mel`.
    """
    frames = mel.shape[1]
    if frames < 2 and loop_samples is None:
        return mel.new_zeros(0)
    loudest = MAX_LOG_AMPLITUDE * spectrogram.power
    target = mel.mT.clamp(0, loudest).expm1().add(FLOOR).log()
    correction = MelCorrection(spectrogram, mel.device)
    transform: Transform | LoopTransform
    if loop_samples is None:
        transform = Transform(spectrogram, frames, mel.device)
    else:
        transform = LoopTransform(spectrogram, frames, loop_samples, mel.device)
    noise = torch.from_numpy(generator.standard_normal(transform.length, dtype=np.float32))

    def correct(spectra: Tensor, block: slice, last: bool) -> Tensor:
        return correction(spectra, target[block], 1.0 if last else CORRECTION)

    return iterate(transform, noise.to(mel.device), correct, ITERATIONS[quality], progress)


def iterate(
    transform: Transform | LoopTransform,
    wave: Tensor,
    change: Callable[[Tensor, slice, bool], Tensor],
    iterations: int,
    progress: Progress,
) -> Tensor:
    """Alternate between a waveform and its transform, with momentum.

    Args:
        transform: the transform.
        wave: the first waveform, ``[transform.length]``. It is overwritten.
        change: function of spectra, complex ``[frame, bin]``, the slice of their frames, and
            whether this is the last iteration, that returns other spectra.
        iterations: number of iterations.
        progress: called in every iteration. An exception that it raises ends the work.

    Returns:
        The waveform without padding, ``[samples]``.
    """
    previous = wave
    for iteration in range(iterations):
        progress(iteration / iterations, "Reconstructing the waveform...")
        last = iteration == iterations - 1

        def change_block(spectra: Tensor, block: slice, last: bool = last) -> Tensor:
            return change(spectra, block, last)

        result = transform.filter(wave, change_block)
        wave = result if iteration == 0 or last else torch.lerp(previous, result, 1 + MOMENTUM)
        previous = result
    return wave[transform.inside].clone()


class Transform:
    """Centred short-time Fourier transform and its least-squares inverse.

    Waveforms have half a window of padding at both ends.

    Attributes:
        length: samples of a waveform with its padding.
        inside: slice of the waveform without its padding.
        left, right: positions that the padding at either end mirrors, int64 ``[padding]``.
        window: ``[size]``.
        weight: sum of the squared windows, ``[length]``.
    """

    def __init__(self, spectrogram: SpectrogramSettings, frames: int, device: torch.device) -> None:
        self.hop, self.size, self.frames = spectrogram.hop_length, spectrogram.n_fft, frames
        samples = (frames - 1) * self.hop
        self.length = samples + self.size
        self.inside = slice(self.size // 2, self.size // 2 + samples)
        # The padding mirrors the samples inside, several times if there are few.
        padding = self.inside.start, self.size - self.inside.start
        mirrored = self.inside.start + np.pad(np.arange(samples), padding, mode="reflect")
        self.left = torch.from_numpy(mirrored[: self.inside.start]).to(device)
        self.right = torch.from_numpy(mirrored[self.inside.stop :]).to(device)
        self.window = torch.hann_window(self.size, device=device)
        weight = self._overlap_add([(slice(0, frames), self.window.square().expand(frames, -1))])
        # Where windows hardly overlap, their sum may be almost zero.
        self.weight = weight.clamp(min=0.05 * float(weight.max()))

    def filter(self, wave: Tensor, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """The waveform whose transform is nearest to the changed transform of `wave`.

        Args:
            wave: ``[length]``. Its padding is overwritten.
            change: function of spectra, complex ``[frame, bin]``, and the slice of their frames
                that returns other spectra.
        """
        wave[: self.inside.start] = wave[self.left]
        wave[self.inside.stop :] = wave[self.right]
        windows = wave.unfold(0, self.size, self.hop)  # [frame, size]

        def changed() -> Iterator[tuple[slice, Tensor]]:
            for start in range(0, self.frames, BLOCK_FRAMES):
                block = slice(start, min(start + BLOCK_FRAMES, self.frames))
                spectra = change(torch.fft.rfft(windows[block] * self.window), block)
                yield block, torch.fft.irfft(spectra, n=self.size).mul_(self.window)

        return self._overlap_add(changed()).div_(self.weight)

    def _overlap_add(self, blocks: Iterable[tuple[slice, Tensor]]) -> Tensor:
        # A frame is added in pieces of one hop; the last is shorter if the hop does not divide it.
        rows = math.ceil(self.size / self.hop)
        total = self.window.new_zeros(self.frames + rows - 1, self.hop)
        for block, frames in blocks:
            for row, part in enumerate(frames.split(self.hop, dim=1)):
                total[block.start + row : block.stop + row, : part.shape[1]] += part
        return total.flatten()[: self.length]


class LoopTransform:
    """Short-time Fourier transform of a loop and its least-squares inverse.

    A window that reaches beyond the end of the loop continues at its start. The frames are spread
    evenly over the loop.

    Attributes:
        length: samples of the loop.
        inside: slice of the whole loop, which has no padding.
        starts: position at which each window begins, int64 ``[frame]``. It may be negative, since
            windows wrap around.
        window: ``[size]``.
        weight: sum of the squared windows, ``[length]``.
    """

    def __init__(
        self, spectrogram: SpectrogramSettings, frames: int, samples: int, device: torch.device
    ) -> None:
        self.size, self.length, self.inside = spectrogram.n_fft, samples, slice(0, samples)
        middles = torch.arange(frames, device=device) * samples // frames
        self.starts = middles - self.size // 2
        self.window = torch.hann_window(self.size, device=device)
        self.weight = torch.ones(samples, device=device)
        weight = self.filter(self.weight, lambda spectra, block: spectra)
        # Where windows hardly overlap, their sum may be almost zero.
        self.weight = weight.clamp(min=0.05 * float(weight.max()))

    def filter(self, wave: Tensor, change: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """Like `Transform.filter`, for a waveform ``[length]`` without padding."""
        inside_window = torch.arange(self.size, device=wave.device)
        total = torch.zeros_like(wave)
        for start in range(0, len(self.starts), BLOCK_FRAMES):
            block = slice(start, min(start + BLOCK_FRAMES, len(self.starts)))
            place = (self.starts[block, None] + inside_window) % self.length
            spectra = change(torch.fft.rfft(wave[place] * self.window), block)
            frames = torch.fft.irfft(spectra, n=self.size).mul_(self.window)
            total.index_add_(0, place.flatten(), frames.flatten())
        return total.div_(self.weight)


class MelCorrection:
    """Scales spectra so that their mel bands reach a target.

    The filter bank is nearly block-diagonal. It is applied in groups of bands, each to the bins in
    which the group has weights, and its transpose in groups of bins::

        bins    ............................
        bands   [ group 0 ]                      16 bands each; neighbouring groups
                      [  group 1  ]              overlap in a few bins
                              [   group 2   ]

    Attributes:
        power: exponent of the magnitudes in the mel.
        heard: slice from the first to the last bin that is in a band. Other bins are set to 0.
        to_bands: slice of the bins, slice of the bands, and weights ``[bin, band]`` of each group
            of bands.
        to_bins: slice of the bins, slice of the bands, and weights ``[band, bin]`` of each group of
            bins. The weights of a bin add up to 1, or to 0 if it is in no band.
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
            target: logarithm of the mel power, ``[frame, band]``.
            strength: exponent of the gain; 1 reaches the target.
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
    """Slice from the first to the last True value."""
    places = mask.nonzero()[:, 0]
    return slice(int(places.min()), int(places.max()) + 1) if len(places) else slice(0, 0)
