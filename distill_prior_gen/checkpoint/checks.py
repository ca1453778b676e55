"""Checks that the settings and the tensors of a model file fit together.

What the file claims is compared with its tensors before it is used. The functions raise a
ValueError that names the field.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from reprlib import Repr
from typing import Any

import torch
from torch import Tensor, nn

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE

VERSION = 2
CLUSTER_SIZE = "quantizer.rvq.layers.{}._codebook.cluster_size"

CHUNK_SECONDS = (0.05, 60.0)
"""Length of the shortest and the longest chunk in seconds."""

MAX_LEVELS = 32
MAX_LAYERS = 128

MAX_TOKENS = 2**14
"""Tokens of a chunk, and of a second of sound; a model of the default size has 144."""


class _Shortened(Repr):
    def repr_Tensor(self, tensor: Tensor, level: int) -> str:  # noqa: N802 - called by that name
        return "a tensor"


shortened = _Shortened().repr
"""Function that shortens a value from a file for a message."""


def check_version(contents: dict[str, Any]) -> None:
    """Check that these are the contents of a VQ-VAE file of format version 2."""
    for key, expected in (("version", VERSION), ("model_type", "vqvae")):
        value = contents.get(key)
        if type(value) is not type(expected) or value != expected:
            raise ValueError(f"{key} is {shortened(value)} instead of {expected!r}")


def read_state(contents: dict[str, Any], key: str) -> dict[str, Tensor]:
    """The tensors of a network by their names."""
    state = required_table(contents, key)
    for name, tensor in state.items():
        if type(name) is not str or type(tensor) is not Tensor:
            raise ValueError(f"{key} holds something other than a tensor under {shortened(name)}")
    return dict(state)


def read_spectrogram(contents: dict[str, Any]) -> SpectrogramSettings:
    """Settings of the mel spectrogram."""
    table = required_table(contents, "spectrogram_config")
    for field in fields(SpectrogramSettings):
        if field.name not in table:
            raise ValueError(f"{field.name} is missing in spectrogram_config")
        if type(value := table[field.name]) not in (int, float, type(None)):
            raise ValueError(f"{field.name} must be a number, not {shortened(value)}")
    return SpectrogramSettings(**{f.name: table[f.name] for f in fields(SpectrogramSettings)})


def read_chunk_samples(contents: dict[str, Any], spectrogram: SpectrogramSettings) -> int:
    """Length of a chunk in samples."""
    duration: Any = 1.0
    for key in ("training_config", "vqvae_config"):
        table = contents.get(key)
        if isinstance(table, dict):
            duration = table.get("chunk_duration_s", duration)
    low, high = CHUNK_SECONDS
    if type(duration) not in (int, float) or not low <= duration <= high:
        raise ValueError(
            f"chunk_duration_s must be from {low:g} to {high:g}, not {shortened(duration)}"
        )
    samples = int(duration * spectrogram.sample_rate)
    if samples < spectrogram.hop_length:
        raise ValueError(f"chunk_duration_s is {duration}, shorter than a frame")
    return samples


def read_vqvae_shape(contents: dict[str, Any], state: dict[str, Tensor]) -> dict[str, int]:
    """Arguments of `VQVAE`. Adds `CLUSTER_SIZE` to `state` if the file has none."""
    embed = "quantizer.rvq.layers.{}._codebook.embed"
    _, codebook_size, codebook_dim = sizes_of(state, embed.format(0), 3)
    levels = count_layers(state, embed)
    shape = {
        "codebook_dim": codebook_dim,
        "codebook_size": codebook_size,
        "num_quantizers": levels,
    }
    compare_sizes("vqvae_config", required_table(contents, "vqvae_config"), shape)
    if levels > MAX_LEVELS:
        raise ValueError(f"num_quantizers must be at most {MAX_LEVELS}, not {levels}")
    for level in range(levels):
        used = torch.ones(1, codebook_size, device=state[embed.format(0)].device)
        state.setdefault(CLUSTER_SIZE.format(level), used)
    compare_tensors("model_state_dict", state, VQVAE, shape)
    return shape


def read_prior_shape(
    contents: dict[str, Any],
    state: dict[str, Tensor],
    vqvae_shape: dict[str, int],
    grid: tuple[int, int],
    chunk_s: float,
) -> dict[str, int]:
    """Arguments of `Prior`.

    Args:
        contents: contents of the file.
        state: tensors of the prior.
        vqvae_shape: result of `read_vqvae_shape`.
        grid: rows and columns of a chunk's code map.
        chunk_s: length of a chunk in seconds.
    """
    config = required_table(contents, "prior_config")
    codebook_size, hidden_size = sizes_of(state, "token_emb.weight", 2)
    shape = {
        "seq_len": sizes_of(state, "pos_emb.weight", 2)[0],
        "num_quantizers": sizes_of(state, "level_emb.weight", 2)[0],
        "hidden_size": hidden_size,
        "num_layers": count_layers(state, "transformer.layers.{}.norm1.weight"),
    }
    compare_sizes("prior_config", config, shape)
    for name, size in (
        ("codebook_size", codebook_size),
        ("num_quantizers", shape["num_quantizers"]),
    ):
        if size != vqvae_shape[name]:
            raise ValueError(f"{name} is {vqvae_shape[name]} in the VQ-VAE but {size} in the prior")
    heads = config.get("num_heads")
    if type(heads) is not int or heads < 1 or hidden_size % heads:
        raise ValueError(
            f"num_heads in prior_config must divide hidden_size ({hidden_size}), "
            f"not be {shortened(heads)}"
        )
    height, width = grid
    expected = height * width * shape["num_quantizers"]
    if shape["seq_len"] != expected:
        raise ValueError(
            f"the prior's seq_len is {shape['seq_len']}, but the spectrogram settings give "
            f"{height} x {width} positions x {shape['num_quantizers']} levels = {expected}"
        )
    if expected > MAX_TOKENS * min(1.0, chunk_s):
        raise ValueError(
            f"seq_len is {expected} for chunk_duration_s {chunk_s:g}; more than {MAX_TOKENS} "
            "tokens in a chunk or a second cannot be sampled"
        )
    if shape["num_layers"] > MAX_LAYERS:
        raise ValueError(f"num_layers must be at most {MAX_LAYERS}, not {shape['num_layers']}")
    shape |= {"codebook_size": codebook_size, "num_heads": heads}
    compare_tensors("prior_state_dict", state, Prior, shape)
    return shape


def check_memory(tensors: Iterable[Tensor], size: int) -> None:
    """Check that the tensors fit into a file of a size, that is, do not share their numbers."""
    if sum(tensor.nbytes for tensor in tensors) > size:
        raise ValueError("its tensors claim more data than the file holds")


def required_table(contents: dict[str, Any], key: str) -> dict[str, Any]:
    """A dictionary of a file."""
    table = contents.get(key)
    if not isinstance(table, dict):
        raise ValueError(f"{key} is missing")
    return table


def read_sizes(
    contents: dict[str, Any], key: str, architecture: str, largest: dict[str, int]
) -> dict[str, int]:
    """Sizes of a network of a known architecture, from 1 to the largest one allowed."""
    config = required_table(contents, key)
    if config.get("architecture") != architecture:
        raise ValueError(
            f"architecture in {key} is {shortened(config.get('architecture'))}, which is unknown; "
            "update distill-prior-gen"
        )
    for name, limit in largest.items():
        value = config.get(name)
        if type(value) is not int or not 1 <= value <= limit:
            raise ValueError(f"{name} in {key} must be from 1 to {limit}, not {shortened(value)}")
    return {name: config[name] for name in largest}


def sizes_of(state: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """Shape of a tensor with a number of dimensions."""
    if name not in state:
        raise ValueError(f"the weights {name} are missing")
    if state[name].ndim != dimensions or 0 in state[name].shape:
        raise ValueError(f"{name} has the shape {tuple(state[name].shape)}")
    return tuple(state[name].shape)


def count_layers(state: dict[str, Tensor], pattern: str) -> int:
    """Number of layers whose tensors have names of a pattern."""
    return next(i for i in itertools.count() if pattern.format(i) not in state)


def compare_sizes(key: str, config: dict[str, Any], shape: dict[str, int]) -> None:
    """Compare sizes in a configuration with those of the tensors."""
    for name, size in shape.items():
        if name not in config:
            raise ValueError(f"{name} is missing in {key}")
        if type(config[name]) is not int or config[name] != size:
            raise ValueError(
                f"{name} is {shortened(config[name])} in {key}, but the weights have {size}"
            )


@lru_cache(maxsize=64)
def _expected_tensors(
    network: Callable[..., nn.Module], shape: tuple[tuple[str, int], ...]
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of each tensor of a network, by name."""
    with torch.device("meta"):
        state = network(**dict(shape)).state_dict()
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}


def compare_tensors(
    key: str,
    state: dict[str, Tensor],
    network: Callable[..., nn.Module],
    shape: dict[str, int],
) -> None:
    """Compare shapes and types of tensors with those of a network with the arguments `shape`."""
    expected = _expected_tensors(network, tuple(shape.items()))
    if missing := expected.keys() - state.keys():
        raise ValueError(f"{key} lacks {_some(missing)}")
    if unknown := state.keys() - expected.keys():
        raise ValueError(f"{key} has unknown entries: {_some(unknown)}")
    for name, (size, dtype) in expected.items():
        tensor = state[name]
        if tuple(tensor.shape) != size:
            raise ValueError(f"{name} has the shape {tuple(tensor.shape)} instead of {size}")
        # Weights of any precision are accepted and converted to float32.
        if tensor.dtype != dtype and not (dtype.is_floating_point and tensor.is_floating_point()):
            raise ValueError(f"{name} is of type {tensor.dtype} instead of {dtype}")


def _some(names: Iterable[str]) -> str:
    return ", ".join(shortened(name).strip("'\"") for name in sorted(names)[:3])
