"""Where the chunks of a take lie in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distill_prior_gen.audio.joining import pieces_needed
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.sampling.prompt import Prompt


@dataclass(frozen=True)
class Separate:
    """Chunks that are decoded one by one and crossfaded.

    Lengths are in frames if they are joined as mels, else in samples.

    Attributes:
        samples: of the take.
        unit: samples of what lengths are measured in.
        length: of a chunk.
        overlap: of neighbouring chunks.
        skipped: at the beginning, which is not heard.
        total: that the take needs after it; of a loop, with the overlap of end and beginning.
        column_samples: how long a column of codes is.
    """

    samples: int
    unit: int
    length: int
    overlap: int
    skipped: int
    total: int
    column_samples: float

    @property
    def chunks(self) -> int:
        return pieces_needed(self.skipped + self.total, self.length, self.overlap)

    @property
    def starts(self) -> list[int]:
        """Samples at which the chunks begin."""
        step = self.length - self.overlap
        return [(chunk * step - self.skipped) * self.unit for chunk in range(self.chunks)]

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one chunk is half faded into the next."""
        return [start + round(self.overlap / 2 * self.unit) for start in self.starts[1:]]

    def repeats(self, width: int) -> list[dict[int, int]]:
        """`Chunk.repeats` of each chunk: none."""
        return [{}] * self.chunks

    def maps(self, codes: Tensor) -> list[tuple[int, Tensor]]:
        """Code maps that sound, of chunks ``[chunk, H, W, level]``, and where they begin."""
        return list(zip(self.starts, codes, strict=True))


@dataclass(frozen=True)
class Shared:
    """Chunks that lie on one code map, which is decoded as a whole.

    Each is held to the codes of those before where it overlaps them. Of a chunk's columns the
    last is left out if the encoder had filled it up with zeros, but for the last chunk's. The
    chunks of a loop go on into its beginning: of the first chunk, which was drawn with nothing
    before it, only its last columns stay, to which the last chunk is held.

    Attributes:
        samples: of the take.
        columns: of the code map.
        first: column at which each chunk begins.
        end: column up to which its codes go to the map, for a loop beyond the last.
        window: columns of a chunk that are not filled up.
        skipped: frames at the beginning, which are not heard.
        frames: of the mel that is inverted.
        column_samples: how long a column is in the take.
        loop: whether the last column leads into the first.
    """

    samples: int
    columns: int
    first: tuple[int, ...]
    end: tuple[int, ...]
    window: int
    skipped: int
    frames: int
    column_samples: float
    loop: bool = False

    @property
    def chunks(self) -> int:
        return len(self.first)

    @property
    def starts(self) -> list[int]:
        """Samples at which the chunks begin."""
        return [round((first - self._heard) * self.column_samples) for first in self.first]

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one chunk is half faded into the next.

        The decoder passes from one column to the next within `STRIDE` frames, and is half
        there in the middle of them.
        """
        borders = sorted(end % self.columns for end in self.end if end % self.columns)
        return [round((border - self._heard - 0.5) * self.column_samples) for border in borders]

    @property
    def _heard(self) -> float:
        return self.skipped / STRIDE

    @property
    def redrawn(self) -> int:
        """Columns of the first chunk that are drawn once more."""
        return self.end[-1] - self.columns

    def repeats(self, width: int) -> list[dict[int, int]]:
        """`Chunk.repeats` of each chunk, which is `width` columns wide.

        What a loop comes round to is left out of its first chunk: that is drawn once more.
        """
        drawn: dict[int, int] = {}
        repeats = []
        for chunk, (first, end) in enumerate(zip(self.first, self.end, strict=True)):
            places = [(first + column) % self.columns for column in range(width)]
            window = places[: self.window]
            repeats.append({n: drawn[place] for n, place in enumerate(window) if place in drawn})
            fresh = range(self.redrawn if chunk == 0 else 0, end - first)
            drawn |= {places[column]: chunk * width + column for column in fresh}
        return repeats

    def maps(self, codes: Tensor) -> list[tuple[int, Tensor]]:
        """Code maps that sound, and the samples at which they begin."""
        return [(self.starts[0], self.stitch(codes))]

    def stitch(self, codes: Tensor) -> Tensor:
        """The code map ``[H, columns, level]`` of chunks ``[chunk, H, W, level]``."""
        _, height, _, levels = codes.shape
        whole = codes.new_empty(height, self.columns, levels)
        for chunk, first, end in zip(codes, self.first, self.end, strict=True):
            place = torch.arange(first, end) % self.columns
            whole[:, place] = chunk[:, : end - first]
        return whole


Layout = Separate | Shared


def lay_out(
    model: PriorModel, config: GenerationConfig, continues: bool, prompt: Prompt | None = None
) -> Layout:
    """The layout of a take, of as few chunks as make it.

    Args:
        continues: whether chunks are held to the one before.
        prompt: that the take starts from.

    Raises:
        ValueError: if a loop is shorter than a chunk.
    """
    hop = model.spectrogram.hop_length
    samples = round(config.duration * model.sample_rate)
    skipped = prompt.silence // hop if prompt else 0
    if prompt and config.vary is not None:
        columns = model.grid[1]
        frames = min(model.spectrogram.frames_to_cover(len(prompt.samples)), model.frames)
        samples = min(len(prompt.samples), (frames - 1) * hop)
        return Shared(samples, columns, (0,), (columns,), columns, 0, frames, STRIDE * hop)
    if not continues:
        return _separate(model, config, samples, skipped)
    if config.loop:
        return _loop(model, config, samples, keep_beginning=prompt is not None)
    return _chain(model, config, samples, skipped)


def frames_kept(model: PriorModel) -> int:
    """Frames of a chunk that are heard.

    The encoder fills the last column of the code map up with zeros, towards which the
    last frames of a decoded chunk sag; as many as were filled up are left out.
    """
    filled = model.grid[1] * STRIDE - model.frames
    return model.frames - min(filled, model.frames // 8)


def _separate(model: PriorModel, config: GenerationConfig, samples: int, skipped: int) -> Separate:
    length, hop = frames_kept(model), model.spectrogram.hop_length
    if config.join == "crossfade":
        unit, length, total = 1, (length - 1) * hop, samples
        skipped *= hop
    else:
        unit = hop
        total = round(samples / hop) if config.loop else model.spectrogram.frames_to_cover(samples)
    overlap = min(round(config.overlap / 1000 * model.sample_rate / unit), length // 2)
    if config.loop:
        total += overlap
    return Separate(samples, unit, length, overlap, skipped, total, STRIDE * hop)


def _chain(model: PriorModel, config: GenerationConfig, samples: int, skipped: int) -> Shared:
    """Chunks that begin with the last columns of the one before."""
    width, carried = model.grid[1], model.window
    step = carried - min(config.held_columns, carried - 1)
    frames, kept = model.spectrogram.frames_to_cover(samples), frames_kept(model)
    chunks = pieces_needed(skipped + frames, kept, max(0, kept - step * STRIDE))
    first = [chunk * step for chunk in range(chunks)]
    end = [start + carried for start in first[:-1]] + [first[-1] + width]
    column_samples = STRIDE * model.spectrogram.hop_length
    return Shared(
        samples, end[-1], tuple(first), tuple(end), carried, skipped, frames, column_samples
    )


def _loop(
    model: PriorModel, config: GenerationConfig, samples: int, keep_beginning: bool
) -> Shared:
    """A chain that ends in a chunk which is held at both ends.

    It has a whole number of columns, which are stretched to the take.
    """
    column = STRIDE * model.spectrogram.hop_length
    carried = model.window
    columns = round(samples / column)
    if columns < max(carried, 2):
        shortest = max(carried, 2) * column / model.sample_rate
        raise ValueError(
            f"a loop of {model.name} must last {shortest:.2f} s at least; make it longer, or use "
            "the sampler 'independent'"
        )
    held = min(config.held_columns, (carried - 1) // 2)
    redrawn = 0 if keep_beginning else carried - held
    last = columns + redrawn - (carried - held)
    first = [*range(0, last, carried - held), last]
    end = [min(start + carried, last + held) for start in first[:-1]] + [columns + redrawn]
    return Shared(
        samples=samples,
        columns=columns,
        first=tuple(first),
        end=tuple(end),
        window=carried,
        skipped=0,
        frames=columns * STRIDE,
        column_samples=samples / columns,
        loop=True,
    )
