"""A model that is loaded and ready to play."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TypeVar

import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import Checkpoint, read_checkpoint
from distill_prior_gen.checkpoint.errors import ModelFileError, refusing
from distill_prior_gen.checkpoint.timeline import read_recordings
from distill_prior_gen.devices import find_device
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.networks.vqvae import STRIDE, VQVAE
from distill_prior_gen.torch_state import take_state

logger = logging.getLogger("distill_prior_gen")

Network = TypeVar("Network", VocoderNetwork, TimelineNetwork)

MAX_DECODED_POSITIONS = 3072
"""Largest number of positions of the code map that are decoded at once: 64 chunks of the default
size, which need about 2 MB each."""


@dataclass(frozen=True)
class ModelIdentity:
    """Identity of the model that a take was made with.

    Attributes:
        name: name of the model.
        model_id: identifier that the Distill app gave it, or "".
        path: the model file.
        sha256: SHA-256 of the file.
        codes_id: see `PriorModel.codes_id`.
    """

    name: str
    model_id: str
    path: Path
    sha256: str
    codes_id: str


@dataclass(frozen=True, eq=False)
class PriorModel:
    """A model that is loaded and ready to play.

    Attributes:
        vqvae: the network from mel spectrograms to codes and back.
        prior: the network from int64 tokens ``[batch, token]`` to logits ``[batch, token,
            codebook_size]``.
        vocoder: the trained vocoder of the file, or None.
        vocoder_fault: why the trained vocoder of the file cannot be used, or "".
        timeline: the timeline prior of the file, or None.
        timeline_fault: why the timeline prior of the file cannot be used, or "".
        checkpoint: the settings in the file.
        device: device of both networks.
    """

    vqvae: VQVAE
    prior: Prior
    checkpoint: Checkpoint
    device: torch.device
    vocoder: VocoderNetwork | None = None
    vocoder_fault: str = ""
    timeline: TimelineNetwork | None = None
    timeline_fault: str = ""

    @property
    def path(self) -> Path:
        """The model file."""
        return self.checkpoint.path

    @property
    def sha256(self) -> str:
        """SHA-256 of the file as it was when it was read."""
        return self.checkpoint.sha256

    @property
    def name(self) -> str:
        """Name of the model, or else of the file."""
        return self.checkpoint.name

    @property
    def identity(self) -> ModelIdentity:
        """What identifies the model in a sidecar."""
        return ModelIdentity(
            self.name, self.checkpoint.model_id, self.path, self.sha256, self.codes_id
        )

    @cached_property
    def codes_id(self) -> str:
        """SHA-256 of the VQ-VAE's weights. Models with the same one have the same codes."""
        return self.vqvae.sha256()

    @property
    def spectrogram(self) -> SpectrogramSettings:
        """Settings of the mel spectrogram."""
        return self.checkpoint.spectrogram

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.spectrogram.sample_rate

    @property
    def chunk_samples(self) -> int:
        """Length of a chunk in samples."""
        return self.checkpoint.chunk_samples

    @property
    def grid(self) -> tuple[int, int]:
        """Rows (frequency, lowest first) and columns (time) of a chunk's code map."""
        return self.checkpoint.grid

    @property
    def frames(self) -> int:
        """Number of mel frames of a chunk."""
        return self.checkpoint.frames

    @property
    def valid_columns(self) -> int:
        """Columns of a chunk that cover sound rather than zero padding, at least one."""
        return max(1, self.frames // STRIDE)

    @property
    def valid_frames(self) -> int:
        """Frames of a decoded chunk that are heard.

        The encoder pads the last column of the code map with zeros, and the last frames of a
        decoded chunk lose level towards them. As many frames as were padded are dropped, at most
        an eighth of the chunk.
        """
        padded = self.grid[1] * STRIDE - self.frames
        return self.frames - min(padded, self.frames // 8)

    @property
    def num_quantizers(self) -> int:
        """Number of levels of the codes."""
        return self.prior.num_quantizers

    @property
    def codebook_size(self) -> int:
        """Number of codes of each level."""
        return self.prior.codebook_size

    @cached_property
    def first_token_weights(self) -> Tensor:
        """How often each code begins a chunk, float32 ``[codebook_size]``.

        If the file does not tell, how often each code of level 0 was used in training.
        """
        if (counts := self.checkpoint.first_token_counts) is not None:
            return counts
        weights = self.vqvae.code_counts()[0].cpu().clamp(min=0)
        return weights if weights.any() else torch.ones_like(weights)

    @cached_property
    def code_usage(self) -> Tensor:
        """Share of the positions of the recordings that each code has in training, by level.

        Float32 ``[level, codebook_size]``; zeros for a level of which the file does not tell.
        """
        counts = self.vqvae.code_counts().cpu().clamp(min=0)
        return counts / counts.sum(dim=1, keepdim=True).clamp(min=1e-9)

    @property
    def recordings(self) -> tuple[str, ...]:
        """Names of the recordings that the timeline prior was trained on, as far as known."""
        if self.timeline is None:
            return ()
        return read_recordings(self.checkpoint.contents, self.timeline.recordings)

    def find_recording(self, name: str) -> int:
        """Number of the recording with a name, which may lack its folder and its suffix.

        Raises:
            ValueError: if there is none; it lists those that there are.
        """
        wanted = name.casefold()
        for shortened in (lambda n: n, lambda n: PurePath(n).name, lambda n: PurePath(n).stem):
            names = [shortened(each).casefold() for each in self.recordings]
            if wanted in names:
                return names.index(wanted)
        known = ", ".join(dict.fromkeys(self.recordings)) or "none"
        raise ValueError(
            f"{self.name} knows no recording {name!r}; those that it was trained on are {known}"
        )

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Decode chunks one by one.

        Args:
            codes: int64 ``[chunk, H * W, level]``.

        Returns:
            Log-mels, float32 ``[chunk, n_mels, frames]``.
        """
        mels = []
        for part in codes.split(max(1, MAX_DECODED_POSITIONS // codes.shape[1])):
            embeddings = self.vqvae.codes_to_embeddings(part.to(self.device), self.grid)
            mels.append(self.vqvae.decode(embeddings, self.spectrogram.n_mels, self.frames))
        return torch.cat(mels)

    @torch.no_grad()
    def decode_map(self, codes: Tensor, loop: bool = False) -> Tensor:
        """Decode a code map of any length.

        The frames of a column depend on this column and the next one only. Therefore a long map
        can be decoded in pieces.

        Args:
            codes: int64 ``[H, column, level]``.
            loop: whether the first column follows the last.

        Returns:
            Log-mel, float32 ``[n_mels, STRIDE * column]``.
        """
        height, columns, _ = codes.shape
        flat = codes.flatten(0, 1)[None].to(self.device)
        embeddings = self.vqvae.codes_to_embeddings(flat, (height, columns))
        if loop:
            embeddings = torch.cat([embeddings, embeddings[..., :1]], dim=-1)
        size, bands = max(1, MAX_DECODED_POSITIONS // height), self.spectrogram.n_mels
        mels = []
        for start in range(0, columns, size):
            piece = embeddings[..., start : start + size + 1]
            frames = STRIDE * min(size, columns - start)
            mels.append(self.vqvae.decode(piece, bands, frames)[0])
        return torch.cat(mels, dim=-1)

    @torch.no_grad()
    def encode(self, mels: Tensor) -> Tensor:
        """Encode log-mels ``[chunk, n_mels, frames]``.

        Returns:
            Codes, int64 ``[chunk, H * column, level]``.
        """
        return self.vqvae.encode(mels.to(self.device)).cpu()


def load_model(path: str | os.PathLike[str], device: str | torch.device = "auto") -> PriorModel:
    """Load a v2 ``.distill`` file with a prior.

    A trained vocoder or a timeline prior that cannot be used is reported in a line of the log.

    Args:
        path: the model file.
        device: where the networks run. ``"auto"`` is the accelerator (CUDA, MPS) if there is one,
            else the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        ModelFileError: if it cannot be sampled. The message says why and what to do.
        ValueError: if there is no such device.
    """
    target = find_device(device)
    with refusing(path), take_state():
        checkpoint = read_checkpoint(path)
        prior, vqvae = checkpoint.build_prior().to(target), checkpoint.build_vqvae().to(target)
        vocoder, vocoder_fault = _optional(
            checkpoint.build_vocoder, checkpoint.vocoder_fault, f"{path}: its trained vocoder"
        )
        timeline, timeline_fault = _optional(
            checkpoint.build_timeline, checkpoint.timeline_fault, f"{path}: its timeline prior"
        )
    if vocoder:
        vocoder = vocoder.to(target)
    if timeline:
        timeline = timeline.to(target)
    return PriorModel(
        vqvae, prior, checkpoint, target, vocoder, vocoder_fault, timeline, timeline_fault
    )


def _optional(
    build: Callable[[], Network | None], fault: str, what: str
) -> tuple[Network | None, str]:
    """A network that a model can do without, and why it cannot be used, which is logged."""
    network = None
    try:
        network = build()
    except ModelFileError as error:
        fault = str(error)
    if fault:
        logger.warning("%s cannot be used: %s", what, fault)
    return network, fault
