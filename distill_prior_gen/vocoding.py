"""How vocoders are called: with the mel, with what it was decoded from, and for loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import close_loop, resample_loop, stretched_frames
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE

Invert = Callable[..., Tensor]
"""Function from a log-mel ``[n_mels, frames]``, its settings, a random generator, one of
`QUALITIES` and a progress callback to ``(frames - 1) * hop_length`` float32 samples."""


@dataclass(frozen=True)
class Vocoder:
    """A method to turn a mel into sound; see the hook `distill_register_vocoders`."""

    invert: Invert
    loops: bool = False
    conditioned: bool = False


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What a mel was decoded from, frame by frame.

    Attributes:
        model: the model whose decoder made the mel.
        codes: int64 ``[H, frames, level]``, rows from low to high frequencies. Where two chunks
            are crossfaded, those of the louder one.
        embeddings: sums of the code vectors of all levels, float32 ``[codebook_dim, H, frames]``,
            linearly interpolated between columns and crossfaded like the mel.
    """

    model: PriorModel
    codes: Tensor
    embeddings: Tensor

    def at(self, frames: Tensor | slice) -> Conditioning:
        """The conditioning of some frames, chosen by a slice or by their indices ``[frame]``."""
        return replace(self, codes=self.codes[:, frames], embeddings=self.embeddings[:, :, frames])


def map_conditioning(model: PriorModel, code_map: Tensor, loop: bool = False) -> Conditioning:
    """What the log-mel from `PriorModel.decode_map` was decoded from; same arguments."""
    code_map = code_map.to(model.device)
    embeddings = model.vqvae.frame_embeddings(code_map, loop)
    return Conditioning(model, code_map.repeat_interleave(STRIDE, dim=1), embeddings)


@dataclass(frozen=True, eq=False)
class Inversion:
    """A mel to be turned into sound, with everything that a vocoder needs for it.

    Attributes:
        mel: log1p mel power, float32 ``[n_mels, frames]``.
        spectrogram: its settings.
        generator: source of random numbers.
        quality: one of `QUALITIES`.
        progress: callback for the progress.
        conditioning: for a vocoder that uses it; else None.
    """

    mel: Tensor
    spectrogram: SpectrogramSettings
    generator: np.random.Generator
    quality: str
    progress: Progress
    conditioning: Conditioning | None = None

    def at(self, frames: Tensor) -> Inversion:
        """The inversion of some frames, chosen by their indices ``[frame]``."""
        conditioning = self.conditioning.at(frames) if self.conditioning else None
        return replace(self, mel=self.mel[:, frames], conditioning=conditioning)

    def invert(self, vocoder: Vocoder, **arguments: Any) -> Tensor:
        """Call a vocoder, if need be with further arguments.

        Returns:
            float32 ``[(frames - 1) * hop_length]``.
        """
        if vocoder.conditioned:
            arguments["conditioning"] = self.conditioning
        return vocoder.invert(
            self.mel,
            self.spectrogram,
            self.generator,
            self.quality,
            self.progress,
            **arguments,
        )

    def invert_loop(self, vocoder: Vocoder, samples: int, overlap: int) -> Tensor:
        """Turn a looping mel into a waveform that loops as well.

        A vocoder that cannot invert loops receives the mel with repeats of it at both ends; then
        the end of the waveform is faded into its beginning.

        Args:
            vocoder: the method.
            samples: length of the loop, over which the frames are spread evenly.
            overlap: samples of the fade.

        Returns:
            float32 ``[samples]``.
        """
        if vocoder.loops:
            return self.invert(vocoder, loop_samples=samples)
        hop, before = self.spectrogram.hop_length, self.mel.shape[1]
        frames = round(samples / hop)
        around = math.ceil((self.spectrogram.n_fft + overlap) / hop)
        place = torch.arange(-around, frames + around, device=self.mel.device) % frames
        sound = self.at(stretched_frames(before, frames).to(place)[place]).invert(vocoder)
        sound = close_loop(sound[around * hop :][: frames * hop + overlap], overlap)
        return resample_loop(sound, samples)
