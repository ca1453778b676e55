"""What is in a model file, without loading its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from distill_prior_gen.checkpoint import ModelFileError, no_prior, read_checkpoint, read_contents


def describe_model(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a ``.distill`` file of any version.

    ``playable`` says whether it can be sampled, ``reason`` why not. What the file does
    not say is None.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it is no model file, or damaged.
    """
    contents = read_contents(path)
    metadata = contents.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    description: dict[str, Any] = {
        "file": str(path),
        "size_bytes": Path(path).stat().st_size,
        "version": contents.get("version"),
        "name": str(metadata.get("name") or Path(path).stem),
        "id": metadata.get("model_id") or None,
        "dataset": metadata.get("dataset_name") or None,
        "dataset_files": metadata.get("dataset_file_count") or None,
        "training_epochs": metadata.get("training_epochs") or None,
        "saved": metadata.get("save_date") or None,
        "sample_rate": None,
        "chunk_s": None,
        "codebook": None,
        "prior": None,
        "playable": False,
        "reason": None,
    }
    try:
        checkpoint = read_checkpoint(path)
    except ModelFileError as error:
        return description | {"reason": str(error)}
    height, width = checkpoint.grid
    description["sample_rate"] = checkpoint.spectrogram.sample_rate
    description["chunk_s"] = checkpoint.chunk_samples / checkpoint.spectrogram.sample_rate
    description["codebook"] = {
        "size": checkpoint.vqvae_shape["codebook_size"],
        "levels": checkpoint.vqvae_shape["num_quantizers"],
        "rows": height,
        "columns": width,
        "health": _health(contents.get("codebook_health_snapshot")),
    }
    if checkpoint.prior_shape is None or checkpoint.prior_state is None:
        return description | {"reason": no_prior(checkpoint.path)}
    training = contents.get("prior_metadata")
    training = training if isinstance(training, dict) else {}
    parameters = (t.numel() for name, t in checkpoint.prior_state.items() if name != "causal_mask")
    description["prior"] = {
        "hidden_size": checkpoint.prior_shape["hidden_size"],
        "layers": checkpoint.prior_shape["num_layers"],
        "heads": checkpoint.prior_shape["num_heads"],
        "parameters": sum(parameters),
        "tokens_per_chunk": checkpoint.prior_shape["seq_len"],
        "perplexity": training.get("best_perplexity"),
        "epochs": training.get("epochs_trained"),
    }
    return description | {"playable": True}


def _health(snapshot: Any) -> list[dict[str, float]] | None:
    """Use, perplexity and dead codes of each level, if the file has them in due form."""
    try:
        return [
            {key: float(level[key]) for key in ("utilization", "perplexity", "dead_codes")}
            for level in snapshot.values()
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
