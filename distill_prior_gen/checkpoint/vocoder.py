"""The trained vocoder in a model file: its entries, and whether they fit the model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint.checks import (
    compare_tensors,
    read_sizes,
    read_state,
)
from distill_prior_gen.networks.vocoder import VocoderNetwork

STATE, CONFIG, METADATA = "vocoder_state_dict", "vocoder_config", "vocoder_metadata"
"""Keys of the file: weights, sizes, and how the training went."""

ARCHITECTURE = "convnext-magnitudes"
"""Name of the kind of vocoder; other kinds are refused."""

MAX_SIZES = {"width": 1024, "num_blocks": 32}


def read_vocoder(
    contents: dict[str, Any],
    spectrogram: SpectrogramSettings,
    grid: tuple[int, int],
    codebook_dim: int,
) -> tuple[dict[str, int], dict[str, Tensor]]:
    """Arguments and tensors of the `VocoderNetwork` in the contents of a file.

    Raises:
        ValueError: if they do not fit the model, or the kind of vocoder is unknown.
    """
    shape = vocoder_sizes(spectrogram, grid, codebook_dim)
    shape |= read_sizes(contents, CONFIG, ARCHITECTURE, MAX_SIZES)
    state = read_state(contents, STATE)
    compare_tensors(STATE, state, VocoderNetwork, shape)
    return shape, state


def vocoder_sizes(
    spectrogram: SpectrogramSettings, grid: tuple[int, int], codebook_dim: int
) -> dict[str, int]:
    """Those arguments of `VocoderNetwork` that the model determines."""
    return {
        "n_mels": spectrogram.n_mels,
        "embedding_size": grid[0] * codebook_dim,
        "n_bins": spectrogram.n_fft // 2 + 1,
    }


def vocoder_entries(network: VocoderNetwork, metadata: dict[str, Any]) -> dict[str, Any]:
    """The entries of a file with a vocoder. Weights are stored in half precision."""
    return {
        STATE: {name: t.half().cpu() for name, t in network.state_dict().items()},
        CONFIG: {
            "architecture": ARCHITECTURE,
            "width": network.out.in_features,
            "num_blocks": len(network.blocks),
        },
        METADATA: metadata,
    }
