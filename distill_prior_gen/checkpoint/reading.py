"""Reading ``.distill`` model files.

Nothing in a file is trusted. Only tensors and plain values are read from it, and every size that
the configuration claims is compared with the tensors before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import timeline, vocoder
from distill_prior_gen.checkpoint.archive import ModelFile, read_file
from distill_prior_gen.checkpoint.checks import (
    VERSION,
    check_memory,
    check_version,
    read_chunk_samples,
    read_prior_shape,
    read_spectrogram,
    read_state,
    read_vqvae_shape,
)
from distill_prior_gen.checkpoint.errors import ModelFileError, refusing
from distill_prior_gen.messages import printable
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape

FIRST_TOKEN_COUNTS = "first_token_counts"
"""Key in ``prior_metadata`` of a list that counts how often each code begins a chunk."""

MAX_COUNT = 2**53

MAX_TEXT_LENGTH = 200
"""Characters of a name or another text from a file that are shown."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A v2 model file whose settings and tensors fit together.

    Attributes:
        path: the file.
        contents: all values of the file.
        sha256: SHA-256 of the file, or "" if it was read without its weights.
        spectrogram: settings of the mel spectrogram.
        chunk_samples: length of a chunk in samples.
        vqvae_shape: arguments of `VQVAE`.
        vqvae_state: tensors of the VQ-VAE by name.
        prior_shape: arguments of `Prior`, or None for a file without a prior.
        prior_state: tensors of the prior by name, or None for a file without a prior.
        vocoder_shape: arguments of `VocoderNetwork`, or None for a file without a trained vocoder.
        vocoder_state: tensors of the vocoder by name, or None for a file without one.
        vocoder_fault: why the trained vocoder of the file cannot be used, or "".
        timeline_shape: arguments of `TimelineNetwork`, or None for a file without a timeline prior.
        timeline_state: tensors of the timeline prior by name, or None for a file without one.
        timeline_fault: why the timeline prior of the file cannot be used, or "".
    """

    path: Path
    contents: dict[str, Any]
    sha256: str
    spectrogram: SpectrogramSettings
    chunk_samples: int
    vqvae_shape: dict[str, int]
    vqvae_state: dict[str, Tensor]
    prior_shape: dict[str, int] | None = None
    prior_state: dict[str, Tensor] | None = None
    vocoder_shape: dict[str, int] | None = None
    vocoder_state: dict[str, Tensor] | None = None
    vocoder_fault: str = ""
    timeline_shape: dict[str, int] | None = None
    timeline_state: dict[str, Tensor] | None = None
    timeline_fault: str = ""

    @property
    def chunk_duration(self) -> Fraction:
        """Length of a chunk in seconds, exactly."""
        return Fraction(self.chunk_samples, self.spectrogram.sample_rate)

    @property
    def frames(self) -> int:
        """Number of mel frames of a chunk."""
        return self.spectrogram.frames(self.chunk_samples)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency) and columns (time) of a chunk's code map."""
        return grid_shape(self.spectrogram.n_mels, self.frames)

    @property
    def name(self) -> str:
        """Name of the model, or else of the file, in one printable line."""
        return (
            shown_text(table(self.contents, "metadata").get("name"))
            or (printable(self.path.stem)[:MAX_TEXT_LENGTH])
        )

    @property
    def model_id(self) -> str:
        """Identifier that the Distill app gave the model, or ""."""
        return shown_text(table(self.contents, "metadata").get("model_id")) or ""

    @property
    def first_token_counts(self) -> Tensor | None:
        """How often each code begins a chunk, float32 ``[codebook_size]``, or None if unknown."""
        counts = table(self.contents, "prior_metadata").get(FIRST_TOKEN_COUNTS)
        if not isinstance(counts, list) or len(counts) != self.vqvae_shape["codebook_size"]:
            return None
        if not all(type(n) in (int, float) and 0 <= n < MAX_COUNT for n in counts):
            return None
        return torch.tensor(counts, dtype=torch.float32) if any(counts) else None

    def build_vqvae(self) -> VQVAE:
        """The VQ-VAE with its weights, in float32 and evaluation mode.

        Raises:
            ModelFileError: if a weight is not finite.
        """
        with torch.random.fork_rng(devices=[]):  # for the initial weights, which are replaced
            vqvae = VQVAE(**self.vqvae_shape)
        vqvae.load_state_dict(_weights(self.path, self.vqvae_state), strict=True)
        return vqvae.eval().requires_grad_(False)

    def build_prior(self) -> Prior:
        """The prior with its weights, in float32 and evaluation mode.

        Raises:
            ModelFileError: if the file has no prior, or a weight is not finite.
        """
        if self.prior_shape is None or self.prior_state is None:
            raise ModelFileError(no_prior(self.path))
        with torch.device("meta"):
            prior = Prior(**self.prior_shape)
        prior.load_state_dict(_weights(self.path, self.prior_state), strict=True, assign=True)
        return prior.eval().requires_grad_(False)

    def build_vocoder(self) -> VocoderNetwork | None:
        """The trained vocoder with its weights, in float32 and evaluation mode, or None.

        Raises:
            ModelFileError: if a weight is not finite.
        """
        if self.vocoder_shape is None or self.vocoder_state is None:
            return None
        with torch.device("meta"):
            network = VocoderNetwork(**self.vocoder_shape)
        network.load_state_dict(_weights(self.path, self.vocoder_state), strict=True, assign=True)
        return network.eval().requires_grad_(False)

    def build_timeline(self) -> TimelineNetwork | None:
        """The timeline prior with its weights, in float32 and evaluation mode, or None.

        Raises:
            ModelFileError: if a weight is not finite.
        """
        if self.timeline_shape is None or self.timeline_state is None:
            return None
        with torch.random.fork_rng(devices=[]):  # for the initial weights, which are replaced
            network = TimelineNetwork(**self.timeline_shape)
        network.load_state_dict(_weights(self.path, self.timeline_state), strict=True)
        return network.eval().requires_grad_(False)


def no_prior(path: Path) -> str:
    """The message that a file has no prior, and how to train one."""
    return (
        f"{path} has no prior to sample from; train one with "
        f"'distill-prior train-prior {path} FOLDER', or in the Distill app with "
        f"'distill train-prior MODEL DATASET'"
    )


def table(contents: dict[str, Any], key: str) -> dict[str, Any]:
    """A dictionary of a file, empty if it is missing."""
    value = contents.get(key)
    return value if isinstance(value, dict) else {}


def shown_text(value: Any) -> str | None:
    """A text of a file in one printable line, or None if it is not a text or empty."""
    return (
        printable(value[:MAX_TEXT_LENGTH])[:MAX_TEXT_LENGTH] or None if type(value) is str else None
    )


def read_checkpoint(path: str | os.PathLike[str], weights: bool = True) -> Checkpoint:
    """Read a v2 model file and check that its settings and tensors fit together.

    Args:
        path: the file.
        weights: whether the numbers of the tensors are read. Without them no network can be
            built.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if the file cannot be used, for any reason.
    """
    return check_file(read_file(path, weights))


def check_file(file: ModelFile) -> Checkpoint:
    """Check that the settings and tensors of a file fit together.

    Raises:
        ModelFileError: if it cannot be used.
    """
    with refusing(file.path):
        return _check(file)


def _check(file: ModelFile) -> Checkpoint:
    path, contents = file.path, file.contents
    version = contents.get("version")
    if type(version) is int and version == 1:
        raise ModelFileError(
            f"{path} is a v1 model, which has no prior; play it with 'distill generate'"
        )
    if type(version) is int and version > VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, newer than {VERSION}, the newest known; "
            "update distill-prior-gen"
        )
    check_version(contents)
    vqvae_state = read_state(contents, "model_state_dict")
    with_prior = contents.get("has_prior") is True or contents.get("prior_state_dict") is not None
    prior_state = read_state(contents, "prior_state_dict") if with_prior else {}
    check_memory(_tensors(contents), file.size)
    spectrogram = read_spectrogram(contents)
    chunk_samples = read_chunk_samples(contents, spectrogram)
    vqvae_shape = read_vqvae_shape(contents, vqvae_state)
    checkpoint = Checkpoint(
        path, contents, file.sha256, spectrogram, chunk_samples, vqvae_shape, vqvae_state
    )
    checkpoint = _with_timeline(_with_vocoder(checkpoint))
    if not with_prior:
        return checkpoint
    chunk_s = chunk_samples / spectrogram.sample_rate
    prior_shape = read_prior_shape(contents, prior_state, vqvae_shape, checkpoint.grid, chunk_s)
    return replace(checkpoint, prior_shape=prior_shape, prior_state=prior_state)


def _tensors(contents: dict[str, Any]) -> Iterator[Tensor]:
    """All tensors of the networks in a file."""
    for key in ("model_state_dict", "prior_state_dict", vocoder.STATE, timeline.STATE):
        yield from (t for t in table(contents, key).values() if isinstance(t, Tensor))


def _with_vocoder(checkpoint: Checkpoint) -> Checkpoint:
    """Add the trained vocoder, or why it cannot be used; the model plays without it."""
    contents = checkpoint.contents
    if contents.get(vocoder.STATE) is None and contents.get(vocoder.CONFIG) is None:
        return checkpoint
    codebook_dim = checkpoint.vqvae_shape["codebook_dim"]
    try:
        shape, state = vocoder.read_vocoder(
            contents, checkpoint.spectrogram, checkpoint.grid, codebook_dim
        )
    except ValueError as error:
        return replace(checkpoint, vocoder_fault=str(error))
    return replace(checkpoint, vocoder_shape=shape, vocoder_state=state)


def _with_timeline(checkpoint: Checkpoint) -> Checkpoint:
    """Add the timeline prior, or why it cannot be used; the model plays without it."""
    contents, codes = checkpoint.contents, checkpoint.vqvae_shape
    if contents.get(timeline.STATE) is None and contents.get(timeline.CONFIG) is None:
        return checkpoint
    try:
        shape, state = timeline.read_timeline(
            contents, checkpoint.grid[0], codes["num_quantizers"], codes["codebook_size"]
        )
    except ValueError as error:
        return replace(checkpoint, timeline_fault=str(error))
    return replace(checkpoint, timeline_shape=shape, timeline_state=state)


def _weights(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors, with floats as float32."""
    weights = {}
    for name, tensor in state.items():
        weights[name] = tensor.clone(memory_format=torch.contiguous_format)
        if tensor.is_floating_point():
            weights[name] = weights[name].float()
            if not weights[name].isfinite().all():
                raise ModelFileError(
                    f"{path}: the weights {name} are not finite; train the model again with a "
                    "lower learning rate"
                )
    return weights
