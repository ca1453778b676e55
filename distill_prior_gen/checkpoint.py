"""The ``.distill`` model file: reading, checking and writing it.

Nothing in a file is trusted. Only tensors and plain values are unpickled, the
weights stay on disk (memory-mapped) until a model is built, and every size that
the configuration claims is compared with the tensors before it is used.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.models.prior import Prior
from distill_prior_gen.models.vqvae import VQVAE, grid_shape

FORMAT = "distill_model"
VERSION = 2
FIRST_TOKEN_COUNTS = "first_token_counts"
"""Key in ``prior_metadata`` of how often each code begins a chunk, a list of numbers."""

MOST_COUNTED = 2**53
CLUSTER_SIZE = "quantizer.rvq.layers.{}._codebook.cluster_size"


class ModelFileError(ValueError):
    """A model file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A v2 model file whose parts agree with each other; the weights are still on disk.

    `prior_shape` and `prior_state` are None in a file without a prior.
    """

    path: Path
    contents: dict[str, Any]
    spectrogram: SpectrogramSettings
    chunk_samples: int
    vqvae_shape: dict[str, int]
    vqvae_state: dict[str, Tensor]
    prior_shape: dict[str, int] | None = None
    prior_state: dict[str, Tensor] | None = None

    @property
    def frames(self) -> int:
        """Mel frames of a chunk."""
        return self.spectrogram.frames(self.chunk_samples)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency) and columns (time) of a chunk's code map."""
        return grid_shape(self.spectrogram.n_mels, self.frames)

    @property
    def metadata(self) -> dict[str, Any]:
        metadata = self.contents.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or self.path.stem)

    @property
    def first_token_counts(self) -> Tensor | None:
        """How often each code begins a chunk, float32 ``[codebook_size]``, if the file says so."""
        metadata = self.contents.get("prior_metadata")
        counts = metadata.get(FIRST_TOKEN_COUNTS) if isinstance(metadata, dict) else None
        if not isinstance(counts, list) or len(counts) != self.vqvae_shape["codebook_size"]:
            return None
        if not all(type(n) in (int, float) and 0 <= n < MOST_COUNTED for n in counts):
            return None
        return torch.tensor(counts, dtype=torch.float32) if any(counts) else None

    def build_vqvae(self) -> VQVAE:
        """The VQ-VAE with its weights, in float32 and evaluation mode.

        Raises:
            ModelFileError: if a weight is not finite.
        """
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, in vain
            vqvae = VQVAE(**self.vqvae_shape)
        vqvae.load_state_dict(_weights(self.path, self.vqvae_state), strict=True)
        return vqvae.eval().requires_grad_(False)

    def build_prior(self) -> Prior:
        """The prior with its weights, in float32 and evaluation mode.

        Raises:
            ModelFileError: if the file has none, or a weight is not finite.
        """
        if self.prior_shape is None or self.prior_state is None:
            raise ModelFileError(no_prior(self.path))
        with torch.device("meta"):
            prior = Prior(**self.prior_shape)
        prior.load_state_dict(_weights(self.path, self.prior_state), strict=True, assign=True)
        return prior.eval().requires_grad_(False)


def no_prior(path: Path) -> str:
    return (
        f"{path} has no prior to sample from; train one with "
        f"'distill-prior train-prior {path} FOLDER', or in the Distill app with "
        f"'distill train-prior MODEL DATASET'"
    )


def read_contents(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The dictionary in a ``.distill`` file of any version; tensors are memory-mapped.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it is not a model file, or truncated or corrupt.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; give the path of a .distill model")
    damaged = ModelFileError(f"{path} is truncated or corrupt; copy or export the model again")
    with path.open("rb") as file:
        starts_as_zip = file.read(2) == b"PK"
    if not starts_as_zip:
        raise ModelFileError(f"{path} is not a .distill model file")
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = any(entry.compress_type for entry in archive.infolist())
            is_torch = any(name.endswith("data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise damaged from error
    # torch.save never compresses; a compressed entry could swell without bound.
    if compressed or not is_torch:
        raise ModelFileError(f"{path} is not a .distill model file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        if "weights_only" in str(error).lower() or "Unsupported" in str(error):
            raise ModelFileError(
                f"{path} holds Python objects beside weights and settings; it was not loaded, "
                "since such a file can run code"
            ) from error
        raise damaged from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a .distill model file")
    return contents


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a v2 model file and check that its settings and tensors fit together.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if the file cannot be used, for whatever reason.
    """
    contents = read_contents(path)
    try:
        return _check(Path(path), contents)
    except ModelFileError:
        raise
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}; save the model again in Distill") from error


def _check(path: Path, contents: dict[str, Any]) -> Checkpoint:
    version = contents.get("version")
    if version == 1:
        raise ModelFileError(
            f"{path} is a v1 model, which has no prior; play it with 'distill generate'"
        )
    if isinstance(version, int) and version > VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, newer than {VERSION}, the newest known; "
            "update distill-prior-gen"
        )
    if version != VERSION:
        raise ValueError(f"version is {version!r} instead of {VERSION}")
    if contents.get("model_type") != "vqvae":
        raise ValueError(f"model_type is {contents.get('model_type')!r} instead of 'vqvae'")

    vqvae_state = _state(contents, "model_state_dict")
    with_prior = contents.get("has_prior") or contents.get("prior_state_dict") is not None
    prior_state = _state(contents, "prior_state_dict") if with_prior else {}
    # An expanded tensor can claim any size; real ones are all in the file.
    claimed = sum(t.nbytes for state in (vqvae_state, prior_state) for t in state.values())
    if claimed > path.stat().st_size:
        raise ValueError("its tensors claim more data than the file holds")

    spectrogram = _spectrogram(contents)
    chunk_samples = _chunk_samples(contents, spectrogram)
    vqvae_shape = _vqvae_shape(contents, vqvae_state)
    checkpoint = Checkpoint(path, contents, spectrogram, chunk_samples, vqvae_shape, vqvae_state)
    if not with_prior:
        return checkpoint
    prior_shape = _prior_shape(contents, prior_state, vqvae_shape, checkpoint.grid)
    return replace(checkpoint, prior_shape=prior_shape, prior_state=prior_state)


def _table(contents: dict[str, Any], key: str) -> dict[str, Any]:
    table = contents.get(key)
    if not isinstance(table, dict):
        raise ValueError(f"{key} is missing")
    return table


def _state(contents: dict[str, Any], key: str) -> dict[str, Tensor]:
    state = _table(contents, key)
    for name, tensor in state.items():
        plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided
        if not plain or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ValueError(f"{key} holds something other than plain tensors under {name!r}")
    return dict(state)


def _spectrogram(contents: dict[str, Any]) -> SpectrogramSettings:
    table = _table(contents, "spectrogram_config")
    settings = {}
    for field in fields(SpectrogramSettings):
        if field.name not in table:
            raise ValueError(f"{field.name} is missing in spectrogram_config")
        settings[field.name] = table[field.name]
    return SpectrogramSettings(**settings)


def _chunk_samples(contents: dict[str, Any], spectrogram: SpectrogramSettings) -> int:
    duration = 1.0
    for key in ("training_config", "vqvae_config"):
        table = contents.get(key)
        if isinstance(table, dict):
            duration = table.get("chunk_duration_s", duration)
    if not isinstance(duration, (int, float)) or not 0 < duration < math.inf:
        raise ValueError(f"chunk_duration_s must be a number of seconds, not {duration!r}")
    samples = int(duration * spectrogram.sample_rate)
    if samples < spectrogram.hop_length:
        raise ValueError(f"chunk_duration_s is {duration}, shorter than a frame")
    return samples


def _vqvae_shape(contents: dict[str, Any], state: dict[str, Tensor]) -> dict[str, int]:
    config = _table(contents, "vqvae_config")
    levels = _layers(state, "quantizer.rvq.layers.{}._codebook.embed")
    _, codebook_size, codebook_dim = _sizes(state, "quantizer.rvq.layers.0._codebook.embed", 3)
    for level in range(levels):
        state.setdefault(CLUSTER_SIZE.format(level), torch.ones(1, codebook_size))
    shape = {
        "codebook_dim": codebook_dim,
        "codebook_size": codebook_size,
        "num_quantizers": levels,
    }
    _compare_sizes("vqvae_config", config, shape)
    with torch.device("meta"):
        _compare_shapes("model_state_dict", state, VQVAE(**shape))
    return shape


def _prior_shape(
    contents: dict[str, Any],
    state: dict[str, Tensor],
    vqvae_shape: dict[str, int],
    grid: tuple[int, int],
) -> dict[str, int]:
    config = _table(contents, "prior_config")
    codebook_size, hidden_size = _sizes(state, "token_emb.weight", 2)
    shape = {
        "seq_len": _sizes(state, "pos_emb.weight", 2)[0],
        "num_quantizers": _sizes(state, "level_emb.weight", 2)[0],
        "hidden_size": hidden_size,
        "num_layers": _layers(state, "transformer.layers.{}.norm1.weight"),
    }
    _compare_sizes("prior_config", config, shape)
    for name, size in (
        ("codebook_size", codebook_size),
        ("num_quantizers", shape["num_quantizers"]),
    ):
        if size != vqvae_shape[name]:
            raise ValueError(f"{name} is {vqvae_shape[name]} in the VQ-VAE but {size} in the prior")
    heads = config.get("num_heads")
    if not isinstance(heads, int) or heads < 1 or hidden_size % heads:
        raise ValueError(
            f"num_heads in prior_config must divide hidden_size ({hidden_size}), not be {heads!r}"
        )
    height, width = grid
    expected = height * width * shape["num_quantizers"]
    if shape["seq_len"] != expected:
        raise ValueError(
            f"the prior's seq_len is {shape['seq_len']}, but the spectrogram settings give "
            f"{height} x {width} positions x {shape['num_quantizers']} levels = {expected}"
        )
    shape |= {"codebook_size": codebook_size, "num_heads": heads}
    with torch.device("meta"):
        _compare_shapes("prior_state_dict", state, Prior(**shape))
    return shape


def _sizes(state: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f"the weights {name} are missing")
    if state[name].ndim != dimensions or 0 in state[name].shape:
        raise ValueError(f"{name} has the shape {tuple(state[name].shape)}")
    return tuple(state[name].shape)


def _layers(state: dict[str, Tensor], pattern: str) -> int:
    return next(i for i in itertools.count() if pattern.format(i) not in state)


def _compare_sizes(key: str, config: dict[str, Any], shape: dict[str, int]) -> None:
    for name, size in shape.items():
        if name not in config:
            raise ValueError(f"{name} is missing in {key}")
        if config[name] != size:
            raise ValueError(f"{name} is {config[name]!r} in {key}, but the weights have {size}")


def _compare_shapes(key: str, state: dict[str, Tensor], module: nn.Module) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if missing := expected.keys() - state.keys():
        raise ValueError(f"{key} lacks {', '.join(sorted(missing)[:3])}")
    if unknown := state.keys() - expected.keys():
        raise ValueError(f"{key} has unknown entries: {', '.join(sorted(map(str, unknown))[:3])}")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(state[name].shape)} instead of {shape}")


def _weights(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory, floats widened to float32."""
    weights = {}
    for name, tensor in state.items():
        if tensor.is_floating_point():
            weights[name] = tensor.to(torch.float32, copy=True)
            if not weights[name].isfinite().all():
                raise ModelFileError(
                    f"{path}: the weights {name} are not finite; train the model again with a "
                    "lower learning rate"
                )
        else:
            weights[name] = tensor.clone()
    return weights


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
    """Write a v2 model file, whole or not at all.

    Args:
        chunk_duration: of a chunk, in seconds.
        metadata: ``name``, ``dataset_name`` and so on; the Distill app reads no other keys
            than its own.
        prior_metadata: ``best_perplexity`` and so on.
        training: settings that the VQ-VAE was trained with.
        health: ``utilization``, ``perplexity`` and ``dead_codes`` of ``level_0`` and so on.
        losses: of the VQ-VAE by epoch.

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
    """Put a prior into a v2 model file, in place of any that it has, and keep all else.

    The file is replaced whole or not at all.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it cannot be used.
    """
    contents = read_checkpoint(path).contents | _prior_entries(prior, prior_metadata)
    with atomic_write(Path(path), overwrite=True) as partial:
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
