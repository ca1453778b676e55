"""The trained vocoder's network: from decoded log-mels and code embeddings to STFT magnitudes.

The decoder of a VQ-VAE smooths the spectrum and loses what is quiet. This network has learned
which magnitudes the recordings have where they have such codes.

References:
    Z. Liu et al.: A ConvNet for the 2020s. 2022, arXiv:2201.03545 (the blocks).
    H. Siuzdak: Vocos. 2023, arXiv:2306.00814 (such blocks over the frames of a spectrum).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL_SIZE = 7
"""Frames that a block looks at."""

EXPANSION = 2
"""Width inside a block divided by the width outside."""

MAX_LOG_MAGNITUDE = 15.0
"""Upper limit of log magnitudes; a sine at full scale has 6.2 with a window of 1024 samples."""


class Block(nn.Module):
    """A ConvNeXt block over ``[batch, frame, width]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        padding = KERNEL_SIZE // 2
        self.depthwise = nn.Conv1d(width, width, KERNEL_SIZE, padding=padding, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, EXPANSION * width)
        self.down = nn.Linear(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.depthwise(x.mT).mT)
        return x + self.down(F.gelu(self.up(inner)))


class VocoderNetwork(nn.Module):
    """Log magnitudes of the bins of each frame.

    Args:
        n_mels: number of mel bands.
        embedding_size: number of values of the code embeddings of a frame.
        n_bins: number of bins of the STFT.
        width: number of channels between the blocks.
        num_blocks: number of blocks.
    """

    def __init__(
        self, n_mels: int, embedding_size: int, n_bins: int, width: int, num_blocks: int
    ) -> None:
        super().__init__()
        self.mel = nn.Conv1d(n_mels, width, 3, padding=1)
        self.embedding = nn.Linear(embedding_size, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(num_blocks)))
        self.out = nn.Linear(width, n_bins)

    @property
    def context(self) -> int:
        """Number of frames on either side that the output of a frame depends on."""
        return 1 + len(self.blocks) * (KERNEL_SIZE // 2)

    def forward(self, mel: Tensor, embedded: Tensor, guess: Tensor) -> Tensor:
        """Correct a first guess of the log magnitudes.

        Args:
            mel: decoded log-mels ``[batch, n_mels, frame]``.
            embedded: code embeddings after the layer `embedding`, ``[batch, frame, width]``.
                This layer may be applied to columns, before they are interpolated to frames.
            guess: log magnitudes ``[batch, frame, n_bins]``.

        Returns:
            Log magnitudes ``[batch, frame, n_bins]``.
        """
        features = self.blocks(self.mel(mel).mT + embedded)
        return (guess + self.out(features)).clamp(max=MAX_LOG_MAGNITUDE)


def count_parameters(shape: dict[str, int]) -> int:
    """Number of weights of a `VocoderNetwork` with these arguments."""
    with torch.device("meta"):
        network = VocoderNetwork(**shape)
    return sum(parameter.numel() for parameter in network.parameters())
