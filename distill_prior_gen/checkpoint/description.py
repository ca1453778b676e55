"""Describing a model file without reading its weights."""

from __future__ import annotations

import os
from typing import Any

from distill_prior_gen.checkpoint import timeline, vocoder
from distill_prior_gen.checkpoint.archive import read_file
from distill_prior_gen.checkpoint.errors import ModelFileError, refusing
from distill_prior_gen.checkpoint.provenance import read_evaluation, read_provenance
from distill_prior_gen.checkpoint.reading import (
    MAX_TEXT_LENGTH,
    Checkpoint,
    check_file,
    no_prior,
    shown_text,
    table,
)
from distill_prior_gen.messages import printable
from distill_prior_gen.networks.vqvae import STRIDE

MAX_NUMBER = 1e15


def describe_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a ``.distill`` file of any version.

    ``playable`` tells whether it can be sampled, and ``reason`` why not. Entries that are missing
    or meaningless are None. All values are plain and finite.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it is not a model file, or damaged.
    """
    with refusing(path):
        return _describe(path)


def _describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    file = read_file(path, weights=False)
    metadata = table(file.contents, "metadata")
    description: dict[str, Any] = {
        "file": str(path),
        "size_bytes": file.size,
        "version": _number(file.contents.get("version")),
        "name": shown_text(metadata.get("name")) or printable(file.path.stem)[:MAX_TEXT_LENGTH],
        "id": shown_text(metadata.get("model_id")),
        "dataset": shown_text(metadata.get("dataset_name")),
        "dataset_files": _number(metadata.get("dataset_file_count")) or None,
        "training_epochs": _number(metadata.get("training_epochs")) or None,
        "saved": shown_text(metadata.get("save_date")),
        "validation_loss": _number(metadata.get("final_val_loss")),
        "provenance": read_provenance(file.contents),
        "evaluation": read_evaluation(file.contents),
        "sample_rate": None,
        "chunk_s": None,
        "codebook": None,
        "prior": None,
        "vocoder": None,
        "vocoder_fault": None,
        "timeline": None,
        "timeline_fault": None,
        "playable": False,
        "reason": None,
    }
    try:
        checkpoint = check_file(file)
    except ModelFileError as error:
        return description | {"reason": printable(error)}
    height, width = checkpoint.grid
    levels = checkpoint.vqvae_shape["num_quantizers"]
    description["sample_rate"] = checkpoint.spectrogram.sample_rate
    description["chunk_s"] = checkpoint.chunk_samples / checkpoint.spectrogram.sample_rate
    description["codebook"] = {
        "size": checkpoint.vqvae_shape["codebook_size"],
        "levels": levels,
        "rows": height,
        "columns": width,
        "health": _health(table(file.contents, "codebook_health_snapshot"), levels),
    }
    description["vocoder"] = _vocoder(checkpoint)
    description["vocoder_fault"] = printable(checkpoint.vocoder_fault) or None
    description["timeline"] = _timeline(checkpoint)
    description["timeline_fault"] = printable(checkpoint.timeline_fault) or None
    if checkpoint.prior_shape is None or checkpoint.prior_state is None:
        return description | {"reason": printable(no_prior(checkpoint.path))}
    training = table(file.contents, "prior_metadata")
    parameters = (t.numel() for name, t in checkpoint.prior_state.items() if name != "causal_mask")
    description["prior"] = {
        "hidden_size": checkpoint.prior_shape["hidden_size"],
        "layers": checkpoint.prior_shape["num_layers"],
        "heads": checkpoint.prior_shape["num_heads"],
        "parameters": sum(parameters),
        "tokens_per_chunk": checkpoint.prior_shape["seq_len"],
        "perplexity": _number(training.get("best_perplexity")),
        "epochs": _number(training.get("epochs_trained")),
    }
    return description | {"playable": True}


def _vocoder(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Description of the trained vocoder of a file, or None if there is none."""
    if checkpoint.vocoder_shape is None or checkpoint.vocoder_state is None:
        return None
    training = table(checkpoint.contents, vocoder.METADATA)
    return {
        "width": checkpoint.vocoder_shape["width"],
        "blocks": checkpoint.vocoder_shape["num_blocks"],
        "parameters": sum(t.numel() for t in checkpoint.vocoder_state.values()),
        "distance_db": _number(training.get("log_spectral_distance_db")),
        "mel_griffin_lim_distance_db": _number(training.get("reference_distance_db")),
    }


def _timeline(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Description of the timeline prior of a file, or None if there is none."""
    shape, state = checkpoint.timeline_shape, checkpoint.timeline_state
    if shape is None or state is None:
        return None
    training = table(checkpoint.contents, timeline.METADATA)
    spectrogram = checkpoint.spectrogram
    column_s = STRIDE * spectrogram.hop_length / spectrogram.sample_rate
    return {
        "width": shape["width"],
        "layers": shape["num_layers"],
        "column_layers": shape["column_layers"],
        "memory_s": shape["memory"] * column_s,
        "recordings": shape["recordings"],
        "recording_names": timeline.read_recordings(checkpoint.contents, shape["recordings"]),
        "parameters": sum(t.numel() for t in state.values()),
        "perplexity": _number(training.get("held_out_perplexity")),
        "epochs": _number(training.get("epochs_trained")),
    }


def _number(value: Any) -> int | float | None:
    """A number from a file, or None if it is not a number, not finite, or too long to read."""
    return value if type(value) in (int, float) and abs(value) < MAX_NUMBER else None


def _health(snapshot: dict[str, Any], levels: int) -> list[dict[str, float]] | None:
    """Utilization, perplexity and dead codes of each level, or None if one is missing."""
    health = []
    for level in range(levels):
        told = table(snapshot, f"level_{level}")
        numbers = {
            key: _number(told.get(key)) for key in ("utilization", "perplexity", "dead_codes")
        }
        if None in numbers.values():
            return None
        health.append({key: float(number) for key, number in numbers.items() if number is not None})
    return health
