"""Sounds for the training of a vocoder: waveforms, and what the decoder makes of their codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE, grid_shape
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.recording import Recording

QUIETEST_DB = -20.0
"""Recordings are also encoded at a random gain, from this one to 0 dB, so that quiet passages are
rendered as well as loud ones."""

MAX_PIECE_S = 30.0
"""Longest piece of a recording that is encoded at once, which bounds the memory."""

MAX_SECONDS = 1200.0
"""Most seconds that are encoded for training, unless the recordings are longer."""


@dataclass(frozen=True, eq=False)
class EncodedSound:
    """A sound, and what the decoder of a model makes of it.

    Attributes:
        spectrogram: settings of the spectrograms.
        samples: waveform, float32 ``[samples]``.
        gain: factor of the waveform.
        decoded: log-mel from its codes, ``[n_mels, frames]``.
        embeddings: code embeddings by column, ``[codebook_dim, H, columns]``.
    """

    spectrogram: SpectrogramSettings
    samples: Tensor
    gain: float
    decoded: Tensor
    embeddings: Tensor

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.decoded.shape[1]

    def segment(self, column: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A part of the sound, which begins at a column.

        Args:
            column: the first column of codes.
            columns: number of columns, of `STRIDE` frames each.

        Returns:
            Decoded log-mel ``[n_mels, frame]``; embeddings ``[codebook_dim * H, columns + 2]`` of
            these columns and of one on either side, see `interpolate_columns`; magnitudes
            ``[frame, n_bins]``; and 1 for each frame that is in the sound, ``[frame]``. There are
            ``STRIDE * columns`` frames, padded with zeros after the end of the sound.
        """
        start, length = column * STRIDE, columns * STRIDE
        stop = min(start + length, self.frames)
        missing = length - (stop - start)
        last = self.embeddings.shape[2] - 1
        around = torch.arange(column - 1, column + columns + 1).clamp(0, last)
        embeddings = self.embeddings[..., around].flatten(0, 1)
        mel = F.pad(self.decoded[:, start:stop], (0, missing))
        magnitudes = F.pad(self.magnitudes(start, stop), (0, 0, 0, missing))
        inside = torch.arange(length) < stop - start
        return mel, embeddings, magnitudes, inside.float()

    def magnitudes(self, start: int, stop: int) -> Tensor:
        """Magnitudes of the STFT in some frames, ``[frame, n_bins]``."""
        size, hop = self.spectrogram.n_fft, self.spectrogram.hop_length
        place = torch.arange(start * hop - size // 2, (stop - 1) * hop + size - size // 2)
        # The transform mirrors the ends, as that of the mel does.
        last = len(self.samples) - 1
        place = last - (last - place.abs()).abs()
        frames = (self.gain * self.samples[place]).unfold(0, size, hop)
        return torch.fft.rfft(frames * torch.hann_window(size)).abs()


@torch.no_grad()
def encode_sound(
    vqvae: VQVAE, spectrogram: SpectrogramSettings, samples: Tensor, gain: float
) -> EncodedSound:
    """Encode and decode a waveform ``[samples]`` as a whole, times a gain."""
    device = next(vqvae.parameters()).device
    shortest = spectrogram.n_fft // 2 + 1  # for the mirrored ends
    samples = F.pad(samples, (0, max(0, shortest - len(samples))))
    mel = spectrogram.log_mel(gain * samples.to(device))
    embeddings = vqvae.codes_to_embeddings(vqvae.encode(mel[None]), grid_shape(*mel.shape))
    decoded = vqvae.decode(embeddings, *mel.shape)[0]
    return EncodedSound(spectrogram, samples, gain, decoded.cpu(), embeddings[0].cpu())


def encode_recording(
    vqvae: VQVAE, spectrogram: SpectrogramSettings, recording: Recording, level_db: float = 0.0
) -> list[EncodedSound]:
    """Encode and decode a recording with a peak of `level_db`, long ones in pieces."""
    gain = 10 ** (level_db / 20) / float(recording.samples.abs().max())
    pieces = recording.samples.split(round(MAX_PIECE_S * spectrogram.sample_rate))
    return [encode_sound(vqvae, spectrogram, piece, gain) for piece in pieces]


def training_sounds(
    vqvae: VQVAE, dataset: Dataset, generator: torch.Generator
) -> tuple[list[EncodedSound], list[EncodedSound]]:
    """Recordings to train on: at full level, and at other levels.

    The second list has the recordings at random levels, and chunks at full level, as the prior has
    them. Large folders are encoded only in part a second time.
    """
    whole, others = [], []
    for recording in dataset.training:
        whole += encode_recording(vqvae, dataset.spectrogram, recording)
    left = MAX_SECONDS - dataset.duration(dataset.training)
    for recording in dataset.training:
        left -= dataset.duration([recording])
        if left > 0:
            level = QUIETEST_DB * float(torch.rand((), generator=generator))
            others += encode_recording(vqvae, dataset.spectrogram, recording, level)
    for chunk in dataset.cut(dataset.training, generator):
        left -= len(chunk) / dataset.spectrogram.sample_rate
        if left > 0:
            others.append(
                encode_sound(vqvae, dataset.spectrogram, chunk, 1 / float(chunk.abs().max()))
            )
    return whole, others
