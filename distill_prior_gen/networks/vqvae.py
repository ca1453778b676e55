"""The VQ-VAE: from a log-mel spectrogram to a map of residual codes, and back.

Parameter names are those of the ``.distill`` file.

References:
    A. van den Oord, O. Vinyals, K. Kavukcuoglu: Neural discrete representation learning. 2017,
    arXiv:1711.00937 (VQ-VAE, and codes as moving averages).
    N. Zeghidour, A. Luebs, A. Omran, J. Skoglund, M. Tagliasacchi: SoundStream. 2021,
    arXiv:2107.03312 (residual vector quantization).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import ResidualVQ

STRIDE = 16
"""Mel bands, and frames, per position of the code map: four layers of stride 2."""

CHANNELS = (32, 64, 128, 256)


def grid_shape(n_mels: int, frames: int) -> tuple[int, int]:
    """Rows (frequency) and columns (time) of the code map of a chunk."""
    return math.ceil(n_mels / STRIDE), math.ceil(frames / STRIDE)


class Encoder(nn.Module):
    """Log-mels ``[batch, n_mels, frames]`` to embeddings ``[batch, codebook_dim, H, W]``."""

    def __init__(self, codebook_dim: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((1, *CHANNELS)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.Dropout2d(dropout),
            ]
        self.convs = nn.Sequential(*layers)
        self.proj = nn.Conv2d(CHANNELS[-1], codebook_dim, 1)

    def forward(self, mel: Tensor) -> Tensor:
        bands, frames = mel.shape[-2:]
        padded = F.pad(mel, (0, -frames % STRIDE, 0, -bands % STRIDE))
        return self.proj(self.convs(padded))


class Decoder(nn.Module):
    """Embeddings ``[batch, codebook_dim, H, W]`` to ``[batch, 1, 16 * H, 16 * W]``."""

    def __init__(self, codebook_dim: int, dropout: float) -> None:
        super().__init__()
        self.proj = nn.Conv2d(codebook_dim, CHANNELS[-1], 1)
        outputs = (*reversed(CHANNELS[:-1]), 1)
        layers: list[nn.Module] = []
        for inputs, output in zip(reversed(CHANNELS), outputs, strict=True):
            layers.append(
                nn.ConvTranspose2d(inputs, output, 3, stride=2, padding=1, output_padding=1)
            )
            if output > 1:
                layers += [nn.BatchNorm2d(output), nn.ReLU(inplace=True), nn.Dropout2d(dropout)]
        self.deconvs = nn.Sequential(*layers, nn.Softplus())

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.deconvs(self.proj(embeddings))


class Quantizer(nn.Module):
    """The `ResidualVQ` under the name that it has in the file."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.rvq = ResidualVQ(**settings)


class VQVAE(nn.Module):
    """Convolutional VQ-VAE with residual vector quantization.

    Args:
        codebook_dim: length of a code's vector.
        codebook_size: number of codes of each level, K.
        num_quantizers: number of levels.
        dropout: fraction of the channels that are dropped in training.
        quantizer: other settings of ``vector_quantize_pytorch.ResidualVQ``.
    """

    def __init__(
        self,
        codebook_dim: int,
        codebook_size: int,
        num_quantizers: int,
        dropout: float = 0.0,
        **quantizer: Any,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(codebook_dim, dropout)
        self.quantizer = Quantizer(
            dim=codebook_dim,
            codebook_size=codebook_size,
            num_quantizers=num_quantizers,
            **quantizer,
        )
        self.decoder = Decoder(codebook_dim, dropout)

    def encode(self, mel: Tensor) -> Tensor:
        """Encode log-mels ``[batch, n_mels, frames]`` as codes, int64 ``[batch, H * W, level]``."""
        embeddings = self.encoder(mel.unsqueeze(1))
        return self.quantizer.rvq(embeddings.flatten(2).mT)[1]

    def code_counts(self) -> Tensor:
        """How often each code was used in training, float32 ``[level, codebook_size]``.

        They are running means; all are 0 for a level that was not trained.
        """
        layers = self.quantizer.rvq.layers
        return torch.stack([layer._codebook.cluster_size[0] for layer in layers]).float()

    def sha256(self) -> str:
        """SHA-256 of the weights, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def codes_to_embeddings(self, codes: Tensor, grid: Sequence[int]) -> Tensor:
        """Sums of the code vectors of all levels, ``[batch, codebook_dim, H, W]``.

        Args:
            codes: codes row by row, int64 ``[batch, H * W, level]``.
            grid: ``(H, W)``.
        """
        return self.quantizer.rvq.get_output_from_indices(codes).mT.unflatten(2, tuple(grid))

    def frame_embeddings(self, codes: Tensor, loop: bool = False) -> Tensor:
        """Embeddings of a code map, interpolated linearly from columns to frames.

        Args:
            codes: int64 ``[H, column, level]``.
            loop: whether the first column follows the last.

        Returns:
            float32 ``[codebook_dim, H, STRIDE * column]``.
        """
        embeddings = self.codes_to_embeddings(codes.flatten(0, 1)[None], codes.shape[:2])[0]
        ends = embeddings[..., [-1, 0]] if loop else embeddings[..., [0, -1]]
        padded = torch.cat([ends[..., :1], embeddings, ends[..., 1:]], dim=-1)
        return interpolate_columns(padded)

    def decode(self, embeddings: Tensor, n_mels: int, frames: int) -> Tensor:
        """Decode embeddings ``[batch, codebook_dim, H, W]``.

        Returns:
            Log-mels ``[batch, n_mels, frames]``.
        """
        return self.decoder(embeddings)[:, 0, :n_mels, :frames]


def interpolate_columns(embeddings: Tensor) -> Tensor:
    """Interpolate embeddings linearly from columns to frames, without the first and last column.

    Args:
        embeddings: ``[batch, channel, column]``.

    Returns:
        ``[batch, channel, STRIDE * (column - 2)]``.
    """
    frames = F.interpolate(embeddings, scale_factor=STRIDE, mode="linear")
    return frames[..., STRIDE:-STRIDE]
