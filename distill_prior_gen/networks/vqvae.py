"""The VQ-VAE: log-mel spectrogram to a map of residual codes, and back.

Parameter names are those of the ``.distill`` file.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from vector_quantize_pytorch import ResidualVQ

STRIDE = 16
"""Mel bands, and frames, to one position of the code map: four layers of stride 2."""

CHANNELS = (32, 64, 128, 256)


def grid_shape(n_mels: int, frames: int) -> tuple[int, int]:
    """Rows (frequency) and columns (time) of the code map of a chunk."""
    return -(-n_mels // STRIDE), -(-frames // STRIDE)


class Encoder(nn.Module):
    def __init__(self, codebook_dim: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *CHANNELS), CHANNELS, strict=False):
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
    """Holds the `ResidualVQ` under the name it has in the file."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.rvq = ResidualVQ(**settings)


class VQVAE(nn.Module):
    """Convolutional VQ-VAE with residual vector quantization.

    Args:
        codebook_dim: length of a code's vector.
        codebook_size: codes a level, K.
        num_quantizers: levels.
        dropout: of whole channels, in training.
        quantizer: further settings of ``vector_quantize_pytorch.ResidualVQ``.
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
        """Codes, int64 ``[batch, H * W, level]``, of log-mels ``[batch, n_mels, frames]``."""
        embeddings = self.encoder(mel.unsqueeze(1))
        return self.quantizer.rvq(embeddings.flatten(2).mT)[1]

    def codes_to_embeddings(self, codes: Tensor, grid: tuple[int, int]) -> Tensor:
        """Summed code vectors of all levels, ``[batch, codebook_dim, H, W]``.

        Args:
            codes: int64 ``[batch, H * W, level]``, row by row.
            grid: ``(H, W)``.
        """
        return self.quantizer.rvq.get_output_from_indices(codes).mT.unflatten(2, grid)

    def decode(self, embeddings: Tensor, n_mels: int, frames: int) -> Tensor:
        """Log-mels ``[batch, n_mels, frames]`` of embeddings ``[batch, codebook_dim, H, W]``."""
        return self.decoder(embeddings)[:, 0, :n_mels, :frames]
