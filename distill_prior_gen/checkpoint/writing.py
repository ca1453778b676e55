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
from distill_prior_gen.checkpoint.errors import ModelFileError
from distill_prior_gen.checkpoint.provenance import EVALUATION
from distill_prior_gen.checkpoint.reading import Checkpoint, read_checkpoint
from distill_prior_gen.checkpoint.timeline import timeline_entries
from distill_prior_gen.checkpoint.vocoder import vocoder_entries
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vocoder import VocoderNetwork
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
    timeline: TimelineNetwork | None = None,
    timeline_metadata: dict[str, Any] | None = None,
    vocoder: VocoderNetwork | None = None,
    vocoder_metadata: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    health: dict[str, dict[str, float]] | None = None,
    losses: dict[str, Any] | None = None,
    others: dict[str, Any] | None = None,
) -> None:
    """Write a v2 model file, as a whole or not at all.

    Args:
        chunk_duration: length of a chunk in seconds.
        metadata: ``name``, ``dataset_name`` and so on. The Distill app ignores other keys than its
            own.
        prior_metadata: ``best_perplexity`` and so on.
        timeline: trained timeline prior.
        timeline_metadata: ``held_out_perplexity`` and so on.
        vocoder: trained vocoder.
        vocoder_metadata: ``log_spectral_distance`` and so on.
        training: settings that the VQ-VAE was trained with.
        health: ``utilization``, ``perplexity`` and ``dead_codes`` of ``level_0`` and so on.
        losses: losses of the VQ-VAE by epoch.
        others: further entries, such as `PROVENANCE` and `EVALUATION`.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    path = Path(path)
    contents: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model_type": "vqvae",
        **_vqvae_entries(vqvae, chunk_duration, training),
        "spectrogram_config": asdict(spectrogram),
        "codebook_health_snapshot": health,
        "loss_curve_history": losses,
        "metadata": {"name": path.stem, **(metadata or {})},
    }
    if prior is not None:
        contents |= prior_entries(prior, prior_metadata)
    if timeline is not None:
        contents |= timeline_entries(timeline, dict(timeline_metadata or {}))
    if vocoder is not None:
        contents |= vocoder_entries(vocoder, dict(vocoder_metadata or {}))
    save_contents(path, contents | (others or {}), overwrite)


def save_contents(path: Path, contents: dict[str, Any], overwrite: bool) -> None:
    """Write the contents of a model file, as a whole or not at all.

    The same contents give the same bytes.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    # Given a path, torch.save would write its name into the file.
    with atomic_write(path, overwrite) as partial, partial.open("wb") as file:
        torch.save(contents, file)


def replace_prior(
    path: str | os.PathLike[str], prior: Prior, prior_metadata: dict[str, Any] | None = None
) -> None:
    """Put a prior into a v2 model file in place of the one that it has, and keep everything else.

    The file is replaced as a whole or not at all.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it cannot be used.
    """
    entries = prior_entries(prior, prior_metadata)
    write_with(Path(path), read_checkpoint(path), entries, overwrite=True)


def unchanged_checkpoint(path: Path, checkpoint: Checkpoint) -> Checkpoint:
    """Read a model file again, of which a network was trained in the meantime.

    Raises:
        ModelFileError: if its VQ-VAE is not that of `checkpoint` any more.
    """
    now = read_checkpoint(path)
    before, after = checkpoint.vqvae_state, now.vqvae_state
    if before.keys() != after.keys() or not all(t.equal(after[n]) for n, t in before.items()):
        raise ModelFileError(f"{path} was changed during the training")
    return now


def write_with(
    path: Path, checkpoint: Checkpoint, entries: dict[str, Any], overwrite: bool = False
) -> None:
    """Write the contents of a model file with other entries, as a whole or not at all.

    The figures of its takes are left out, since other networks give other takes.

    Args:
        entries: those of networks, from `prior_entries`, `timeline_entries` or `vocoder_entries`.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    kept = {key: value for key, value in checkpoint.contents.items() if key != EVALUATION}
    save_contents(path, kept | entries, overwrite)


def _vqvae_entries(
    vqvae: VQVAE, chunk_duration: float, training: dict[str, Any] | None
) -> dict[str, Any]:
    rvq = vqvae.quantizer.rvq
    config = {
        **(training or {}),
        "codebook_dim": rvq.codebook_dim,
        "codebook_size": rvq.codebook_size,
        "num_quantizers": rvq.num_quantizers,
        "chunk_duration_s": chunk_duration,
    }
    return {
        "model_state_dict": {name: t.cpu() for name, t in vqvae.state_dict().items()},
        "vqvae_config": config,
        "training_config": config,
    }


def prior_entries(prior: Prior, metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The entries of a file with a prior."""
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
