"""Takes whose chunks lie on one code map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distill_prior_gen.audio.joining import rising_fade
from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.sampling.chunks import CodeColumn
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.vocoding import Conditioning, Inversion, Vocoder, map_conditioning


@dataclass(frozen=True)
class ContinuousLayout:
    """Chunks that lie on one code map, which is decoded and inverted as a whole.

    Where chunks overlap, the later one is conditioned on the codes of the earlier one. A chunk's
    last column is dropped if it only covers zero padding; the final chunk of the take keeps it.
    In a loop the chunks wrap around: the first chunk was drawn without context, so all of it but
    its last columns is drawn again by the final chunk, which is conditioned on those.

    Attributes:
        samples: length of the take in samples.
        columns: width of the code map.
        chunk_starts: column at which each chunk begins.
        chunk_ends: column at which its part of the map ends, beyond `columns` where it wraps
            around.
        valid_columns: columns of a chunk that cover sound rather than padding.
        trim_start: frames at the beginning of the mel that are dropped.
        frames: length of the mel that is inverted.
        column_samples: length of a column in samples of the take.
        loop: whether the last column leads into the first.
    """

    samples: int
    columns: int
    chunk_starts: tuple[int, ...]
    chunk_ends: tuple[int, ...]
    valid_columns: int
    trim_start: int
    frames: int
    column_samples: float
    loop: bool = False

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return len(self.chunk_starts)

    @property
    def starts(self) -> list[int]:
        """Samples of the take at which the chunks begin."""
        trimmed = self.trim_start / STRIDE
        return [round((start - trimmed) * self.column_samples) for start in self.chunk_starts]

    @property
    def boundaries(self) -> list[int]:
        """Samples at which the sound of one chunk gives way to that of the next.

        The decoder passes from one column to the next within `STRIDE` frames, and is half way in
        the middle of them.
        """
        trimmed = self.trim_start / STRIDE
        borders = sorted(end % self.columns for end in self.chunk_ends if end % self.columns)
        return [round((border - trimmed - 0.5) * self.column_samples) for border in borders]

    @property
    def loop_overlap(self) -> int:
        """Columns of the first chunk that the final chunk of a loop draws again."""
        return self.chunk_ends[-1] - self.columns

    def shared_columns(self, width: int) -> list[dict[int, CodeColumn]]:
        """Columns that each chunk copies from earlier ones; see `Chunk.shared_columns`.

        The first `loop_overlap` columns of a loop are never copied, since the final chunk draws
        them again.

        Args:
            width: columns of a chunk.
        """
        drawn: dict[int, CodeColumn] = {}  # by column of the map
        shared = []
        spans = zip(self.chunk_starts, self.chunk_ends, strict=True)
        for chunk, (start, end) in enumerate(spans):
            places = [(start + column) % self.columns for column in range(width)]
            valid = enumerate(places[: self.valid_columns])
            shared.append({column: drawn[place] for column, place in valid if place in drawn})
            first = self.loop_overlap if chunk == 0 else 0
            drawn |= {places[n]: CodeColumn(chunk, n) for n in range(first, end - start)}
        return shared

    def code_map(self, codes: Tensor) -> Tensor:
        """The code map ``[H, column, level]`` of chunks ``[chunk, H, W, level]``."""
        _, height, _, levels = codes.shape
        code_map = codes.new_empty(height, self.columns, levels)
        for chunk, start, end in zip(codes, self.chunk_starts, self.chunk_ends, strict=True):
            for first in range(start, end, self.columns):  # a chunk may be longer than a loop
                last = min(first + self.columns, end)
                places = torch.arange(first, last) % self.columns
                code_map[:, places] = chunk[:, first - start : last - start]
        return code_map

    def maps(self, codes: Tensor) -> list[tuple[int, Tensor]]:
        """Code maps that are heard, and the samples at which they begin.

        Args:
            codes: int64 ``[chunk, H, W, level]``.
        """
        return [(self.starts[0], self.code_map(codes))]

    def decode(self, model: PriorModel, codes: Tensor) -> Tensor:
        """Decode the codes of a take.

        In a loop, the columns that were drawn twice crossfade, linearly in power, from the second
        drawing to the first, so that the sound returns gradually to its start.

        Args:
            model: the model that the codes were drawn from.
            codes: int64 ``[chunk, H * W, level]``.

        Returns:
            Log-mel, float32 ``[n_mels, frames]``.
        """
        chunks = codes.unflatten(1, (model.grid[0], -1))
        mel = model.decode_map(self.code_map(chunks), self.loop)
        if self.loop_overlap > 1:
            first = model.decode_map(chunks[0, :, : self.loop_overlap + 1])
            mel = self._return_to_first(mel.expm1(), first.expm1()).log1p()
        return mel[:, self.heard_frames]

    @property
    def heard_frames(self) -> slice:
        """Frames of the decoded code map that are inverted."""
        return slice(self.trim_start, self.trim_start + self.frames)

    def _return_to_first(self, later: Tensor, first: Tensor) -> Tensor:
        """Crossfade the columns of a loop that were drawn twice; axes ``[..., frame]``.

        The first column, at the loop point, stays as it is.
        """
        fade = slice(STRIDE, STRIDE * self.loop_overlap)
        weight = rising_fade(fade.stop - fade.start).to(later)
        faded = torch.lerp(later[..., fade], first[..., fade], weight)
        return torch.cat([later[..., : fade.start], faded, later[..., fade.stop :]], dim=-1)

    def conditioning(self, model: PriorModel, codes: Tensor) -> Conditioning:
        """What the mel of `decode` was decoded from; same arguments."""
        chunks = codes.unflatten(1, (model.grid[0], -1))
        whole = map_conditioning(model, self.code_map(chunks), self.loop)
        if self.loop_overlap > 1:
            first = map_conditioning(model, chunks[0, :, : self.loop_overlap + 1])
            embeddings = self._return_to_first(whole.embeddings, first.embeddings)
            louder = slice((STRIDE + STRIDE * self.loop_overlap) // 2, STRIDE * self.loop_overlap)
            whole.codes[:, louder] = first.codes[:, louder]
            whole = Conditioning(model, whole.codes, embeddings)
        return whole.at(self.heard_frames)

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
        assert config.seed is not None
        generator = random_generator(config.seed, Purpose.PHASE)
        conditioning = self.conditioning(model, codes) if vocoder.conditioned else None
        inversion = Inversion(
            mel, model.spectrogram, generator, config.quality, progress, conditioning
        )
        if self.loop:
            overlap = config.overlap_samples(model.sample_rate)
            return inversion.invert_loop(vocoder, self.samples, overlap), mel
        return inversion.invert(vocoder)[: self.samples], mel
