"""The recording that a take starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.decoding import open_recording
from distill_prior_gen.audio.recordings import read_last_sound
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE


@dataclass(frozen=True, eq=False)
class Prompt:
    """The part of a recording that a take starts from.

    Attributes:
        samples: float32 ``[samples]``, scaled so that the largest sample of the whole recording
            is 1.
        silence: number of samples of silence before it in its first column of codes.
        codes: int64 ``[H, column, level]``.
        path: the recording.
        sha256: SHA-256 of the file.
    """

    samples: Tensor
    silence: int
    codes: Tensor
    path: Path
    sha256: str

    def unheard(self, model: PriorModel) -> int:
        """Samples of its columns before the last chunk, which only a memory knows; and silence."""
        columns = min(self.codes.shape[1], model.valid_columns)
        heard = min(len(self.samples), columns * STRIDE * model.spectrogram.hop_length)
        return self.silence + len(self.samples) - heard


def read_prompt(model: PriorModel, config: GenerationConfig, whole: bool = False) -> Prompt:
    """Read and encode the last sound in the recording ``config.prompt``.

    A prompt to be continued has at most the valid columns of a chunk, or, where a sampler remembers
    more, the columns of its memory. A prompt to be varied has at most a chunk, and that of a loop
    the valid columns of a chunk. Silence before it completes its first column and is not heard. In
    a loop, where everything is heard, repeats of the recording complete the first column.

    Args:
        model: the model.
        config: settings of the take.
        whole: whether the sampler draws whole takes and remembers columns of them.

    Raises:
        RecordingError: if it cannot be read or has no sound in it.
    """
    path = Path(config.prompt or "")
    column = STRIDE * model.spectrogram.hop_length
    memory = model.timeline.memory if whole and model.timeline and not config.loop else 0
    longest = max(model.valid_columns, memory) * column
    if config.vary is not None:
        longest = model.chunk_samples
    with open_recording(path) as source:
        sha256 = source.sha256()
        samples, peak = read_last_sound(source, model.sample_rate, longest)
    samples = samples / max(peak, float(samples.abs().max()))
    columns = math.ceil(len(samples) / column)
    if config.loop:
        turns = math.ceil(columns * column / len(samples))
        samples = samples.tile(turns)[-columns * column :]
    if config.vary is not None:
        silence, frames = 0, model.frames
        padded = F.pad(samples, (0, longest - len(samples)))
    else:
        silence, frames = columns * column - len(samples), columns * STRIDE
        padded = F.pad(samples, (silence, 0))
    mel = model.spectrogram.log_mel(padded)[:, :frames]
    codes = model.encode(mel[None])[0].unflatten(0, (model.grid[0], -1))
    return Prompt(samples, silence, codes, path, sha256)
