"""How fast this machine trains, measured with a few steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import Progress
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.prior import train_prior
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.settings import PriorSettings, VQVAESettings
from distill_prior_gen.training.vqvae import train_vqvae

NOISE_S = 10
"""Length of the noise that is trained on, in seconds."""


@cache
def measure_chunk_costs(device: str) -> dict[str, float]:
    """Train on noise for an epoch, which takes a few seconds, once for each device.

    Args:
        device: name of the device to train on; see `load_model`.

    Returns:
        Seconds that a chunk of one second takes in a step of the ``VQ-VAE`` and of the ``prior``,
        with the default sizes for at most 100 recordings.
    """
    spectrogram = SpectrogramSettings()
    noise = torch.randn(NOISE_S * spectrogram.sample_rate, generator=torch.Generator())
    recordings = [Recording("noise", noise)]
    dataset = Dataset(recordings, recordings, spectrogram, 1.0)
    vqvae_settings, prior_settings = VQVAESettings(epochs=1), PriorSettings(epochs=1)
    step, trained = _time_step(partial(train_vqvae, dataset, vqvae_settings, device))
    vqvae_cost = step / vqvae_settings.batch_size
    step, _ = _time_step(partial(train_prior, trained.vqvae, dataset, prior_settings, device))
    return {"VQ-VAE": vqvae_cost, "prior": step / prior_settings.batch_size}


def _time_step(train: Callable[[Progress], Any]) -> tuple[float, Any]:
    """The median duration of a training step in seconds, and the result of the training."""
    moments: list[float] = []
    trained = train(lambda share, text: moments.append(time.perf_counter()))
    durations = [after - before for before, after in pairwise(moments)]
    return median(durations[-3:]), trained
