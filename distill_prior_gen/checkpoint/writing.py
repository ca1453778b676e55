"""Writing ``.distill`` model files, as a whole or not at all."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint.archive import FORMAT
from distill_prior_gen.checkpoint.checks import VERSION
from distill_prior_gen.checkpoint.reading import Checkpoint, read_checkpoint
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE


def write_checkpoint(
    path: str | os.PathLike[str],
    vqvae: VQVAE,
    prior: Prior | None,
    spectrogram: SpectrogramSettings,
    chunk_duration: float = 1.0,
    metadata: dict[str, Any] | None = None,
    prior_metadata: dict[str, Any] | None = None,
    overwrite: bool = False,
    *,
    training: dict[str, Any] | None = None,
    health: dict[str, dict[str, float]] | None = None,
    losses: dict[str, Any] | None = None,
) -> None:
    """Write a v2 model file, as a whole or not at all.

    Args:
        chunk_duration: length of a chunk in seconds.
        metadata: ``name``, ``dataset_name`` and so on. The Distill app ignores other keys than its
            own.
        prior_metadata: ``best_perplexity`` and so on.
        training: settings that the VQ-VAE was trained with.
        health: ``utilization``, ``perplexity`` and ``dead_codes`` of ``level_0`` and so on.
        losses: losses of the VQ-VAE by epoch.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    path = Path(path)
    rvq = vqvae.quantizer.rvq
    vqvae_config = {
        **(training or {}),
        "codebook_dim": rvq.codebook_dim,
        "codebook_size": rvq.codebook_size,
        "num_quantizers": rvq.num_quantizers,
        "chunk_duration_s": chunk_duration,
    }
    contents: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model_type": "vqvae",
        "model_state_dict": {name: t.cpu() for name, t in vqvae.state_dict().items()},
        "vqvae_config": vqvae_config,
        "spectrogram_config": asdict(spectrogram),
        "training_config": vqvae_config,
        "codebook_health_snapshot": health,
        "loss_curve_history": losses,
        "metadata": {"name": path.stem, **(metadata or {})},
    }
    if prior is not None:
        contents |= _prior_entries(prior, prior_metadata)
    with atomic_write(path, overwrite) as partial:
        torch.save(contents, partial)


def replace_prior(
    path: str | os.PathLike[str], prior: Prior, prior_metadata: dict[str, Any] | None = None
) -> None:
    """Put a prior into a v2 model file in place of the one that it has, and keep everything else.

    The file is replaced as a whole or not at all.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it cannot be used.
    """
    write_with_prior(Path(path), read_checkpoint(path), prior, prior_metadata, overwrite=True)


def write_with_prior(
    path: Path,
    checkpoint: Checkpoint,
    prior: Prior,
    prior_metadata: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the contents of a model file with another prior, as a whole or not at all.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    contents = checkpoint.contents | _prior_entries(prior, prior_metadata)
    with atomic_write(path, overwrite) as partial:
        torch.save(contents, partial)


def _prior_entries(prior: Prior, metadata: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "has_prior": True,
        "prior_state_dict": {name: t.cpu() for name, t in prior.state_dict().items()},
        "prior_config": {
            "hidden_size": prior.token_emb.embedding_dim,
            "num_layers": len(prior.transformer),
            "num_heads": prior.num_heads,
            "dropout": prior.drop.p,
            "seq_len": prior.seq_len,
            "num_quantizers": prior.num_quantizers,
        },
        "prior_metadata": dict(metadata or {}),
    }
