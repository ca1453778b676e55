"""The trained vocoder: a network gives the magnitudes, and Griffin-Lim finds the phase.

The waveform starts as noise. In every iteration its transform keeps its phase and gets the
magnitudes that the network of `networks.vocoder` has computed.

References:
    D. W. Griffin, J. S. Lim: Signal estimation from modified short-time Fourier
    transform. IEEE Transactions on Acoustics, Speech, and Signal Processing, 1984.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.griffin_lim import LoopTransform, Transform, iterate
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.vocoding import Conditioning

ITERATIONS = {"fast": 8, "normal": 24, "best": 96}

BLOCK_FRAMES = 512
"""Frames whose magnitudes are computed at once."""

SECTION_FRAMES = 4096
"""Frames whose phase is found at once, which bounds the memory for long takes."""

MAX_FRAME_NORM = math.sqrt(3 / 32)
"""Norm of the magnitudes of a sine at full scale, divided by the length of the window. No frame is
louder, since the recordings were learned with a peak of 1; codes that never followed each other in
them can lead the network much further."""

MIN_POWER = 1e-18
"""Lower limit of the power of a bin, by whose root it is divided."""

AUTO, TRAINED, UNTRAINED = "auto", "trained", "mel-griffin-lim"
"""Names of vocoders. The first one is the second where a file has a trained vocoder, else the
third."""


def choose_vocoder(model: PriorModel, name: str) -> str:
    """The vocoder that a name stands for.

    Raises:
        ValueError: if it is the trained one and the model has none.
    """
    if name == AUTO:
        return TRAINED if model.vocoder else UNTRAINED
    if name == TRAINED and model.vocoder is None:
        raise ValueError(missing_vocoder(model))
    return name


def trained_vocoder(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    generator: np.random.Generator,
    quality: str,
    progress: Progress,
    conditioning: Conditioning | None = None,
    loop_samples: int | None = None,
) -> Tensor:
    """Turn a decoded mel into sound with the vocoder of its model file; see `Invert`.

    Raises:
        ValueError: if the mel was not decoded from codes, or the file has no vocoder.
    """
    if conditioning is None:
        raise ValueError(f"vocoder {TRAINED} needs the codes that a mel was decoded from")
    model = conditioning.model
    if model.vocoder is None:
        raise ValueError(missing_vocoder(model))
    embeddings = conditioning.embeddings.flatten(0, 1)
    source = VocoderInput(model.vocoder, spectrogram, mel, embeddings, loop_samples is not None)
    return render(source, generator, ITERATIONS[quality], progress, loop_samples)


def missing_vocoder(model: PriorModel) -> str:
    """The message that a model has no trained vocoder that can be used, and what to do."""
    if model.vocoder_fault:
        return f"the trained vocoder of {model.path} cannot be used: {model.vocoder_fault}"
    return (
        f"{model.path} has no trained vocoder; train one with 'distill-prior train-vocoder "
        f"{model.path} FOLDER', or use the vocoder 'auto'"
    )


@dataclass(frozen=True, eq=False)
class VocoderInput:
    """What the network computes magnitudes from.

    Attributes:
        network: the trained network.
        spectrogram: settings of the mel.
        mel: decoded log1p mel power, float32 ``[n_mels, frames]``.
        embeddings: code embeddings, float32 ``[codebook_dim * H, frames]``.
        loop: whether the last frame leads into the first.
    """

    network: VocoderNetwork
    spectrogram: SpectrogramSettings
    mel: Tensor
    embeddings: Tensor
    loop: bool = False

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.mel.shape[1]

    def magnitudes(self, start: int, stop: int) -> Tensor:
        """Magnitudes of a range of frames, float32 ``[frame, n_bins]``."""
        firsts = range(start, stop, BLOCK_FRAMES)
        return torch.cat([self._block(n, min(n + BLOCK_FRAMES, stop)) for n in firsts])

    def _block(self, start: int, stop: int) -> Tensor:
        """Like `magnitudes`, at once, with the frames around them that they depend on."""
        context = self.network.context
        begin, end = start - context, stop + context
        if not self.loop:
            begin, end = max(0, begin), min(self.frames, end)
        place = torch.arange(begin, end, device=self.mel.device) % self.frames
        mel, embeddings = self.mel[:, place], self.embeddings[:, place]
        guess = self.spectrogram.guess_log_magnitudes(mel)
        embedded = self.network.embedding(embeddings.mT)
        log_magnitudes = self.network(mel[None], embedded[None], guess[None])[0]
        magnitudes = log_magnitudes[start - begin : stop - begin].exp()
        loudest = MAX_FRAME_NORM * self.spectrogram.n_fft
        return magnitudes * (loudest / magnitudes.norm(dim=1, keepdim=True)).clamp(max=1)


@torch.no_grad()
def render(
    source: VocoderInput,
    generator: np.random.Generator,
    iterations: int,
    progress: Progress,
    loop_samples: int | None = None,
) -> Tensor:
    """Turn a decoded mel and its code embeddings into sound.

    A long take is rendered in sections that overlap. A sample depends on the frames within
    `iterations` windows, so with that overlap the sections fit together.

    Args:
        source: what the magnitudes are computed from.
        generator: source of the noise that the waveform starts from.
        iterations: number of iterations.
        progress: called in every iteration. An exception that it raises ends the work.
        loop_samples: length of a loop, over which the frames are spread evenly; None if the
            sound does not loop.

    Returns:
        float32 ``[(frames - 1) * hop_length]``, or ``[loop_samples]``.
    """
    spectrogram, frames, device = source.spectrogram, source.frames, source.mel.device
    if loop_samples is not None:
        noise = generator.standard_normal(loop_samples, dtype=np.float32)
        whole_loop = LoopTransform(spectrogram, frames, loop_samples, device)
        magnitudes = source.magnitudes(0, frames)
        return find_phase(whole_loop, magnitudes, noise, iterations, progress)
    if frames < 2:
        return source.mel.new_zeros(0)
    hop, size = spectrogram.hop_length, spectrogram.n_fft
    noise = generator.standard_normal((frames - 1) * hop + size, dtype=np.float32)
    margin = iterations * math.ceil(size / hop)
    parts = []
    for start in range(0, frames - 1, SECTION_FRAMES):
        stop = min(start + SECTION_FRAMES, frames - 1)
        begin, end = max(0, start - margin), min(frames, stop + margin + 1)

        def report(share: float, text: str, start: int = start, stop: int = stop) -> None:
            progress((start + share * (stop - start)) / (frames - 1), text)

        transform = Transform(spectrogram, end - begin, device)
        section = noise[begin * hop :][: transform.length]
        wave = find_phase(transform, source.magnitudes(begin, end), section, iterations, report)
        parts.append(wave[(start - begin) * hop : (stop - begin) * hop])
    return torch.cat(parts)


def find_phase(
    transform: Transform | LoopTransform,
    magnitudes: Tensor,
    noise: np.ndarray,
    iterations: int,
    progress: Progress,
) -> Tensor:
    """The algorithm of Griffin and Lim with momentum.

    Args:
        transform: the transform.
        magnitudes: magnitudes that it should have, ``[frame, n_bins]``.
        noise: the first waveform, ``[transform.length]``.
        iterations: number of iterations.
        progress: called in every iteration.

    Returns:
        The waveform without padding, float32 ``[samples]``.
    """

    def change(spectra: Tensor, block: slice, last: bool) -> Tensor:
        return set_magnitudes(spectra, magnitudes[block])

    wave = torch.from_numpy(noise.copy()).to(magnitudes.device)
    return iterate(transform, wave, change, iterations, progress)


def set_magnitudes(spectra: Tensor, magnitudes: Tensor) -> Tensor:
    """Give spectra other magnitudes and keep their phase, in place.

    Args:
        spectra: complex ``[frame, bin]``.
        magnitudes: ``[frame, bin]``.
    """
    real, imaginary = torch.view_as_real(spectra).unbind(-1)
    power = real.square().addcmul_(imaginary, imaginary).clamp_(min=MIN_POWER)
    return spectra.mul_(power.rsqrt_().mul_(magnitudes))
