"""How much memory takes need, and how much there is."""

from __future__ import annotations

import os

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel

INVERSION_COPIES = 12
"""Waveforms and mels of a take that are in memory at once while it is inverted, at most."""

EMBEDDING_COPIES = 3
"""Code embeddings of all frames that are in memory at once with a trained vocoder, at most."""


def check_memory(model: PriorModel, config: GenerationConfig, count: int) -> None:
    """Refuse takes that do not fit into memory, before any work is done.

    Raises:
        MemoryError: saying how long takes may be.
    """
    available = available_memory()
    spectrogram = model.spectrogram
    frame_rate = model.sample_rate / spectrogram.hop_length
    mel = 4 * spectrogram.n_mels * frame_rate
    # All takes are decoded before the first is inverted.
    per_second = count * mel + INVERSION_COPIES * (4 * model.sample_rate + mel)
    if model.vocoder:
        embedding = model.grid[0] * model.checkpoint.vqvae_shape["codebook_dim"]
        per_second += EMBEDDING_COPIES * 4 * embedding * frame_rate
    if available is not None and config.duration * per_second > available:
        raise MemoryError(
            f"{count} x {config.duration:g} s need more memory than there is; at most "
            f"{available / per_second:.0f} s fit, and more if fewer takes are made at once"
        )


def available_memory() -> float | None:
    """Bytes of memory that are free or can be freed, or None if the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            sizes = dict(line.split(":") for line in file)
        return 1024 * float(sizes["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        try:
            return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        except (AttributeError, OSError, ValueError):
            return None
