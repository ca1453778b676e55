"""The sound of columns of codes without end, piece by piece."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import FADE_IN_S, rising_fade
from distill_prior_gen.config import GenerationConfig, no_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, vocoders
from distill_prior_gen.rendering import refuse_exit
from distill_prior_gen.sampling.chunks import Settings
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.vocoding import Inversion, map_conditioning

PIECE_S = 2.0
"""Length of a piece."""

MARGIN_WINDOWS = 16
"""Windows on both sides of a piece that are rendered with it. With them, its samples differ by less
than -80 dB from those that a take has there, at every quality."""


def piece_frames(model: PriorModel) -> tuple[int, int, int]:
    """Samples of a frame, frames of a window, and frames of a piece."""
    hop = model.spectrogram.hop_length
    length = max(1, round(PIECE_S * model.sample_rate / hop))
    return hop, math.ceil(model.spectrogram.n_fft / hop), length


def endless_pieces(
    model: PriorModel,
    config: GenerationConfig,
    settings: Settings,
    columns: Iterator[Tensor],
    skipped: int,
    first_frame: int = 0,
    tail: Tensor | None = None,
) -> Iterator[Tensor]:
    """Pieces of sound, whose peaks may be anything and which begin without a click.

    Each is rendered with margins on both sides, from the noise that a take has there, so that the
    pieces fit together. They overlap by a window, in which they are crossfaded.

    Args:
        model: the model.
        config: settings with a seed.
        settings: those of what begins at a column.
        columns: columns of codes without end.
        skipped: frames at the beginning that are not heard.
        first_frame: frame at which the first piece begins.
        tail: what was heard from there on, one window, to fade from.

    Yields:
        float32 ``[samples]``, on the CPU.
    """
    assert config.seed is not None
    hop, window, length = piece_frames(model)
    noise, noise_begin = random_generator(config.seed, Purpose.PHASE), 0
    tail = torch.empty(0) if tail is None else tail
    code_map = torch.empty(model.grid[0], 0, model.num_quantizers, dtype=torch.int64)
    first = -skipped  # frame of the first column of the code map
    for start in itertools.count(first_frame, length):
        begin = max(0, start - MARGIN_WINDOWS * window)
        end = start + length + window + MARGIN_WINDOWS * window + 1
        with take_state(model.device):
            # The frames of a column depend on the next column, too.
            while first + (code_map.shape[1] - 1) * STRIDE < end:
                with refuse_exit("sampler", config.sampler):
                    code_map = torch.cat([code_map, next(columns)], dim=1)
            passed = (begin - first) // STRIDE
            code_map, first = code_map[:, passed:], first + passed * STRIDE
            noise.standard_normal((begin - noise_begin) * hop, dtype=np.float32)
            noise_begin = begin
            frames = slice(begin - first, end - first)
            now = settings((start + skipped) // STRIDE)
            sound = _render(model, now, code_map, frames, copy.deepcopy(noise))
            sound = sound[(start - begin) * hop :][: (length + window) * hop].clone()
            if start == 0:
                rise = min(round(FADE_IN_S * model.sample_rate), len(sound))
                sound[:rise] *= rising_fade(rise)
            else:
                sound[: len(tail)] = torch.lerp(tail, sound[: len(tail)], rising_fade(len(tail)))
            sound, tail = sound[: length * hop], sound[length * hop :]
        yield sound


def _render(
    model: PriorModel,
    config: GenerationConfig,
    code_map: Tensor,
    frames: slice,
    noise: np.random.Generator,
) -> Tensor:
    """The sound of frames of a code map ``[H, column, level]``, float32 ``[samples]``."""
    vocoder = get_registered("vocoder", config.vocoder, vocoders())
    mel = model.decode_map(code_map)[:, frames]
    conditioning = map_conditioning(model, code_map).at(frames) if vocoder.conditioned else None
    inversion = Inversion(mel, model.spectrogram, noise, config.quality, no_progress, conditioning)
    with refuse_exit("vocoder", config.vocoder):
        sound = inversion.invert(vocoder).cpu().float()
    if not sound.isfinite().all():
        raise FloatingPointError(f"vocoder {config.vocoder} gave samples that are not finite")
    return sound


class EndlessSound(Iterator[np.ndarray]):
    """Pieces of sound within -1 and 1, float32 ``[samples]``.

    During a piece the gain falls to what the next one needs. It does not rise again, as it does not
    within a take.

    Attributes:
        gain: factor from the sound of the codes to the end of the last piece.
    """

    def __init__(self, pieces: Iterator[Tensor], gain: float) -> None:
        self.gain = gain
        self._pieces = pieces
        self._next: Tensor | None = None

    def __next__(self) -> np.ndarray:
        piece = next(self._pieces) if self._next is None else self._next
        self._next = next(self._pieces)
        first = min(self.gain, _gain(piece))
        self.gain = min(first, _gain(self._next))
        gains = np.linspace(first, self.gain, len(piece), dtype=np.float32)
        return (piece.numpy() * gains).clip(-1, 1)


def _gain(piece: Tensor) -> float:
    return 1 / max(1.0, float(piece.abs().max()))
