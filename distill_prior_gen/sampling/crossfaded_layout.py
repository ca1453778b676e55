"""Takes whose chunks are decoded one by one and crossfaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from distill_prior_gen.audio.joining import (
    close_loop,
    join_log_mels,
    overlap_add,
    pieces_needed,
)
from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.sampling.chunks import CodeColumn
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.vocoding import Conditioning, Inversion, Vocoder, map_conditioning


@dataclass(frozen=True)
class CrossfadedLayout(ABC):
    """Chunks that do not depend on each other and are crossfaded.

    The lengths below `unit` are in frames where mels are crossfaded (`CrossfadedMels`) and in
    samples where waveforms are (`CrossfadedWaveforms`).

    Attributes:
        samples: length of the take in samples.
        unit: samples of one frame, or 1.
        length: length of a chunk.
        overlap: overlap of neighbouring chunks.
        trim_start: what is dropped at the beginning.
        total: what is needed after it; in a loop, with the overlap of its end and its beginning.
        column_samples: length of a column of codes in samples.
    """

    samples: int
    unit: int
    length: int
    overlap: int
    trim_start: int
    total: int
    column_samples: float

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return pieces_needed(self.trim_start + self.total, self.length, self.overlap)

    @property
    def starts(self) -> list[int]:
        """Samples of the take at which the chunks begin."""
        step = self.length - self.overlap
        return [(chunk * step - self.trim_start) * self.unit for chunk in range(self.chunks)]

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one chunk is half faded into the next."""
        return [start + round(self.overlap / 2 * self.unit) for start in self.starts[1:]]

    def shared_columns(self, width: int) -> list[dict[int, CodeColumn]]:
        """No columns for any chunk; see `Chunk.shared_columns`."""
        return [{}] * self.chunks

    def maps(self, codes: Tensor) -> list[tuple[int, Tensor]]:
        """Code maps that are heard, and the samples at which they begin.

        Args:
            codes: int64 ``[chunk, H, W, level]``.
        """
        return list(zip(self.starts, codes, strict=True))

    def decode(self, model: PriorModel, codes: Tensor) -> Tensor:
        """Decode the codes of a take, int64 ``[chunk, H * W, level]``.

        Returns:
            Log-mels, float32 ``[chunk, n_mels, frames]``, without the frames of zero padding.
        """
        return model.decode(codes)[..., : model.valid_frames]

    @abstractmethod
    def invert(
        self,
        vocoder: Vocoder,
        model: PriorModel,
        config: GenerationConfig,
        codes: Tensor,
        mel: Tensor,
        progress: Progress,
    ) -> tuple[Tensor, Tensor]:
        """Turn what `decode` returns into a waveform; ``config.seed`` must be set.

        Returns:
            Samples, and the log-mel ``[n_mels, frames]`` that they were made from.
        """


class CrossfadedMels(CrossfadedLayout):
    """Chunks whose mels are crossfaded, so that the phase is one over the whole take."""

    def invert(
        self,
        vocoder: Vocoder,
        model: PriorModel,
        config: GenerationConfig,
        codes: Tensor,
        mel: Tensor,
        progress: Progress,
    ) -> tuple[Tensor, Tensor]:
        assert config.seed is not None
        joined = join_log_mels(mel, self.overlap)
        joined = joined[:, self.trim_start : self.trim_start + self.total]
        if config.loop:
            joined = close_loop(joined.expm1(), self.overlap).log1p()
        generator = random_generator(config.seed, Purpose.PHASE)
        conditioning = None
        if vocoder.conditioned:
            conditioning = self._joined_conditioning(model, codes, config.loop)
        inversion = Inversion(
            joined, model.spectrogram, generator, config.quality, progress, conditioning
        )
        if config.loop:
            overlap = config.overlap_samples(model.sample_rate)
            return inversion.invert_loop(vocoder, self.samples, overlap), joined
        return inversion.invert(vocoder)[: self.samples], joined

    def _joined_conditioning(self, model: PriorModel, codes: Tensor, loop: bool) -> Conditioning:
        chunks = [chunk_conditioning(model, chunk) for chunk in codes]
        embeddings = overlap_add(torch.stack([c.embeddings for c in chunks]), self.overlap)
        before = self.overlap // 2  # frames of a fade in which the earlier chunk is louder
        parts = [chunks[0].codes]
        for chunk in chunks[1:]:
            parts[-1] = parts[-1][:, : before - self.overlap or None]
            parts.append(chunk.codes[:, before:])
        kept = slice(self.trim_start, self.trim_start + self.total)
        joined = Conditioning(model, torch.cat(parts, dim=1), embeddings).at(kept)
        if not loop:
            return joined
        end, codes = self.total - self.overlap, joined.codes
        codes = torch.cat([codes[:, end : end + before], codes[:, before:end]], dim=1)
        return Conditioning(model, codes, close_loop(joined.embeddings, self.overlap))


class CrossfadedWaveforms(CrossfadedLayout):
    """Chunks that are inverted one by one and whose waveforms are crossfaded."""

    def invert(
        self,
        vocoder: Vocoder,
        model: PriorModel,
        config: GenerationConfig,
        codes: Tensor,
        mel: Tensor,
        progress: Progress,
    ) -> tuple[Tensor, Tensor]:
        assert config.seed is not None
        waveforms = []
        for chunk, chunk_mel in enumerate(mel):

            def report(share: float, text: str, chunk: int = chunk) -> None:
                progress((chunk + share) / self.chunks, text)

            generator = random_generator(config.seed, Purpose.PHASE, chunk)
            conditioning = None
            if vocoder.conditioned:
                conditioning = chunk_conditioning(model, codes[chunk])
            inversion = Inversion(
                chunk_mel, model.spectrogram, generator, config.quality, report, conditioning
            )
            waveforms.append(inversion.invert(vocoder))
        samples = overlap_add(torch.stack(waveforms).cpu(), self.overlap)
        samples = samples[self.trim_start : self.trim_start + self.total]
        if config.loop:
            samples = close_loop(samples, self.overlap)
        return samples, torch.cat(list(mel), dim=-1)


def chunk_conditioning(model: PriorModel, codes: Tensor) -> Conditioning:
    """What the frames of a chunk that are heard were decoded from; codes ``[H * W, level]``."""
    conditioning = map_conditioning(model, codes.unflatten(0, model.grid))
    return conditioning.at(slice(model.valid_frames))
