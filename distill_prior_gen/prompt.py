"""The recording that a take starts from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.recordings import read_mono
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel
from distill_prior_gen.models.vqvae import STRIDE

SILENT = 1e-4
"""A recording whose largest sample is below this is silence, and is not made louder."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """The part of a recording that a take starts from.

    Attributes:
        samples: float32 ``[samples]``, scaled to a largest sample of 1, as in training.
        silence: how many samples of silence stand before it in its first column of codes.
        codes: int64 ``[H, column, level]``.
        path, sha256: of the file.
    """

    samples: Tensor
    silence: int
    codes: Tensor
    path: Path
    sha256: str


def read_prompt(model: PriorModel, config: GenerationConfig) -> Prompt:
    """Read and encode the end of ``config.prompt``.

    To be continued, it is as many whole columns of codes as a chunk can hold and ends with
    the recording; to be varied, it is a chunk.

    Raises:
        FileNotFoundError: if there is no such file.
        RecordingError: if it cannot be read or is empty.
    """
    path = Path(config.prompt or "")
    column = STRIDE * model.spectrogram.hop_length
    longest = model.chunk_samples if config.vary is not None else model.window * column
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    samples = read_mono(path, model.sample_rate)[-longest:]
    peak = float(samples.abs().max())
    samples = samples / (peak if peak >= SILENT else 1.0)
    if config.vary is not None:
        silence, frames = 0, model.frames
        padded = F.pad(samples, (0, longest - len(samples)))
    else:
        columns = math.ceil(len(samples) / column)
        silence, frames = columns * column - len(samples), columns * STRIDE
        padded = F.pad(samples, (silence, 0))
    mel = model.spectrogram.log_mel(padded)[:, :frames]
    codes = model.encode(mel[None])[0].unflatten(0, (model.grid[0], -1))
    return Prompt(samples, silence, codes, path, sha256)
