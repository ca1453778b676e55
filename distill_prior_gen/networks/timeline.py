"""The timeline prior: a transformer that reads codes in time order and remembers seconds of them.

A column of a code map is a short moment of sound. A transformer over columns knows what came
before, and a small transformer within the column predicts its codes one by one: from the lowest
row to the highest, and in a row level by level.

References:
    D. Lee et al.: Autoregressive image generation using residual quantization. 2022,
    arXiv:2203.01941 (RQ-Transformer).
    C. Raffel et al.: Exploring the limits of transfer learning with a unified text-to-text
    transformer. 2020, arXiv:1910.10683 (attention biased by relative position).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill_prior_gen.config import DESCRIPTORS

NUM_BINS = 10
"""Number of bins of a descriptor. Each holds a tenth of the columns of the recordings."""

HEAD_SIZE = 32
"""Length of the vectors of an attention head."""

EXPANSION = 4
"""Width inside a block divided by the width outside."""

CODE_STD, STD = 0.3, 0.02
"""Standard deviations of the initial embeddings of codes, and of all others."""


class Block(nn.Module):
    """Pre-norm transformer block over ``[batch, token, width]``."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = count_heads(width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up = nn.Linear(width, EXPANSION * width)
        self.down = nn.Linear(EXPANSION * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """The block's output, ``[batch, token, width]``.

        Args:
            x: tokens ``[batch, token, width]``.
            bias: added to the logits of the attention, ``[head, token, token]``; -inf where a
                token must not be attended to.
        """
        heads = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=bias)
        x = x + self.drop(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(F.relu(self.up(self.norm2(x)))))


def count_heads(width: int) -> int:
    """Number of attention heads of a block: of about `HEAD_SIZE`, and a divisor of the width."""
    return next(heads for heads in range(max(1, width // HEAD_SIZE), 0, -1) if width % heads == 0)


class TimelineNetwork(nn.Module):
    """Probabilities of the codes of a column after those of the columns before it.

    Each column comes with conditions: whether another recording begins with it, and, unless they
    are left open, the recording in whose manner it is and the values of `DESCRIPTORS`.

    Args:
        rows: number of rows of the code map.
        levels: number of levels of the codes.
        codebook_size: number of codes of each level.
        width: number of channels.
        num_layers: number of blocks over columns.
        column_layers: number of blocks within a column.
        memory: number of earlier columns that a block attends to.
        recordings: number of recordings that the network was trained on.
        dropout: fraction of the values that are dropped in training.

    Attributes:
        profile: share of the columns of each recording in each bin of each descriptor,
            ``[recording, descriptor, bin]``.
    """

    offsets: Tensor
    causal: Tensor
    profile: Tensor

    def __init__(
        self,
        rows: int,
        levels: int,
        codebook_size: int,
        width: int,
        num_layers: int,
        column_layers: int,
        memory: int,
        recordings: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        tokens, code_size = rows * levels, max(1, width // 4)
        self.tokens, self.levels, self.codebook_size = tokens, levels, codebook_size
        self.memory, self.recordings = memory, recordings
        self.codes = nn.Embedding(levels * codebook_size, code_size)
        self.column = nn.Linear(tokens * code_size, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.changed = nn.Embedding(2, width)
        self.recording = nn.Embedding(recordings + 1, width)
        self.described = nn.Embedding(len(DESCRIPTORS) * (NUM_BINS + 1), width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(num_layers))
        self.distance = nn.Parameter(torch.zeros(count_heads(width), memory + 1))
        self.norm = nn.LayerNorm(width)
        self.change = nn.Linear(width, 1)
        self.context = nn.Linear(width, width)
        self.place = nn.Embedding(tokens, width)
        self.previous = nn.Linear(code_size, width)
        self.column_blocks = nn.ModuleList(Block(width, dropout) for _ in range(column_layers))
        self.column_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, levels * codebook_size)
        self.drop = nn.Dropout(dropout)
        offsets = torch.arange(tokens) % levels * codebook_size
        self.register_buffer("offsets", offsets, persistent=False)
        causal = torch.full((tokens, tokens), -math.inf).triu(1)
        self.register_buffer("causal", causal, persistent=False)
        uniform = torch.full((recordings, len(DESCRIPTORS), NUM_BINS), 1 / NUM_BINS)
        self.register_buffer("profile", uniform)
        for embedding in (self.changed, self.recording, self.described, self.place):
            nn.init.normal_(embedding.weight, std=STD)
        nn.init.normal_(self.codes.weight, std=CODE_STD)

    def condition(self, changed: Tensor, recording: Tensor, bins: Tensor) -> Tensor:
        """Embedding of the conditions of columns, ``[..., width]``.

        Args:
            changed: 1 where another recording begins, else 0, int64 ``[...]``.
            recording: number of the recording, or `recordings` where it is open, int64 ``[...]``.
            bins: bin of each descriptor, or `NUM_BINS` where it is open, int64 ``[...,
                descriptor]``.
        """
        first = torch.arange(len(DESCRIPTORS), device=bins.device) * (NUM_BINS + 1)
        described = self.described(bins + first).sum(dim=-2)
        return self.changed(changed) + self.recording(recording) + described

    def embed(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Columns as the transformer over columns reads them, ``[..., width]``.

        Args:
            codes: int64 ``[..., token]``.
            condition: from `condition`, ``[..., width]``.
        """
        return self.column(self.codes(codes + self.offsets).flatten(-2)) + condition

    def remember(self, columns: Tensor) -> Tensor:
        """What is known before each column and after the last, ``[batch, column + 1, width]``.

        Args:
            columns: from `embed`, ``[batch, column, width]``.
        """
        start = self.start.expand(len(columns), 1, -1)
        x = self.drop(torch.cat([start, columns], dim=1))
        place = torch.arange(x.shape[1], device=x.device)
        ago = place[:, None] - place
        bias = self.distance[:, ago.clamp(0, self.memory)]
        bias = bias.masked_fill((ago < 0) | (ago > self.memory), -math.inf)
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)

    def predict(self, memory: Tensor, condition: Tensor, codes: Tensor) -> Tensor:
        """Logits of the codes of columns, ``[column, token, codebook_size]``.

        Args:
            memory: what is known before them, ``[column, width]``.
            condition: from `condition`, ``[column, width]``.
            codes: int64 ``[column, token]``; the last token is not read.
        """
        earlier = self.previous(self.codes((codes + self.offsets)[:, :-1]))
        x = F.pad(earlier, (0, 0, 1, 0)) + (self.context(memory) + condition)[:, None]
        x = self.drop(x + self.place.weight)
        for block in self.column_blocks:
            x = block(x, self.causal)
        logits = self.head(self.column_norm(x)).unflatten(2, (self.levels, self.codebook_size))
        token = torch.arange(self.tokens, device=x.device)
        return logits[:, token, token % self.levels]


def count_parameters(shape: dict[str, int]) -> int:
    """Number of weights of a `TimelineNetwork` with these arguments."""
    with torch.device("meta"):
        network = TimelineNetwork(**shape)
    return sum(parameter.numel() for parameter in network.parameters())
