"""The prior: a decoder-only transformer over interleaved codes.

Parameter names are those of the ``.distill`` file, which come from ``nn.TransformerEncoder``
(pre-norm, ReLU, no final norm in the stack). The blocks are written out here because
``nn.TransformerEncoder`` has no key/value cache, which `cached_prior.CachedPrior` adds.

References:
    A. Vaswani et al.: Attention is all you need. 2017, arXiv:1706.03762 (the transformer).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Causal multi-head self-attention, with the parameters of ``nn.MultiheadAttention``.

    Input and output are ``[batch, token, hidden_size]``.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.out_proj = nn.Linear(hidden_size, hidden_size)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        heads = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block, with the parameters of ``nn.TransformerEncoderLayer``.

    Input and output are ``[batch, token, hidden_size]``.
    """

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(hidden_size, num_heads, dropout)
        self.linear1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.linear2 = nn.Linear(4 * hidden_size, hidden_size)
        self.norm1 = nn.LayerNorm(hidden_size)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.self_attn(self.norm1(x)))
        return x + self.drop(self.linear2(self.drop(F.relu(self.linear1(self.norm2(x))))))


class Stack(nn.Module):
    """The blocks, under the name that they have in the file."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def __iter__(self) -> Iterator[Block]:
        return cast(Iterator[Block], iter(self.layers))

    def __len__(self) -> int:
        return len(self.layers)


class Prior(nn.Module):
    """Autoregressive model of code sequences.

    A sequence is the code map of one chunk, read row by row from the lowest frequency. The levels
    of a position are next to each other: the index of a token is
    ``position * num_quantizers + level``.

    Args:
        codebook_size: number of codes of each level, K.
        seq_len: number of tokens of a chunk, ``H * W * num_quantizers``.
        num_quantizers: number of levels of the residual quantizer.
        hidden_size: length of the vector of a token between the blocks.
        num_layers: number of blocks.
        num_heads: number of attention heads, a divisor of `hidden_size`.
        dropout: fraction of the values that are dropped in training.
    """

    causal_mask: Tensor

    def __init__(
        self,
        codebook_size: int,
        seq_len: int,
        num_quantizers: int,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.seq_len = seq_len
        self.num_quantizers = num_quantizers
        self.num_heads = num_heads
        self.token_emb = nn.Embedding(codebook_size, hidden_size)
        self.pos_emb = nn.Embedding(seq_len, hidden_size)
        self.level_emb = nn.Embedding(num_quantizers, hidden_size)
        self.drop = nn.Dropout(dropout)
        self.transformer = Stack(Block(hidden_size, num_heads, dropout) for _ in range(num_layers))
        self.ln_f = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, codebook_size, bias=False)
        # Part of the file format. The attention is causal without it.
        mask = torch.ones(seq_len, seq_len, dtype=torch.bool).triu(diagonal=1)
        self.register_buffer("causal_mask", mask)

    def position_embeddings(self) -> Tensor:
        """Embeddings of positions and levels, ``[seq_len, hidden_size]``."""
        levels = torch.arange(self.seq_len, device=self.pos_emb.weight.device)
        return self.pos_emb.weight + self.level_emb(levels % self.num_quantizers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token that follows each of `tokens`.

        Args:
            tokens: int64 ``[batch, token]``, at most `seq_len` tokens.

        Returns:
            ``[batch, token, codebook_size]``.
        """
        x = self.drop(self.token_emb(tokens) + self.position_embeddings()[: tokens.shape[1]])
        for block in self.transformer:
            x = block(x)
        return self.head(self.ln_f(x))
