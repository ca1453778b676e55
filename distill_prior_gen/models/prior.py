"""The prior: a decoder-only transformer over interleaved codes.

Parameter names are those of the ``.distill`` file, which stem from
``nn.TransformerEncoder`` (pre-norm, ReLU, no final norm in the stack). The
blocks are written out here so that one token can be added at a time, with
the keys and values of the earlier ones kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyValueCache:
    """Attention keys and values of the tokens a batch of sequences has so far.

    Holds two tensors ``[batch, head, seq_len, head_size]`` a layer, allocated
    once; ``length`` tokens of them are filled.
    """

    def __init__(self, prior: Prior, batch: int) -> None:
        weight = prior.token_emb.weight
        shape = (batch, prior.num_heads, prior.seq_len, weight.shape[1] // prior.num_heads)
        self.layers = [
            (weight.new_empty(shape), weight.new_empty(shape)) for _ in prior.transformer
        ]
        self.length = 0

    @staticmethod
    def bytes_per_sequence(prior: Prior) -> int:
        weight = prior.token_emb.weight
        hidden_bytes = weight.shape[1] * weight.element_size()
        return 2 * len(prior.transformer) * prior.seq_len * hidden_bytes


class SelfAttention(nn.Module):
    """Causal multi-head self-attention, with ``nn.MultiheadAttention``'s parameters."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.out_proj = nn.Linear(hidden_size, hidden_size)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``[batch, head, token, head_size]`` each."""
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()

    def _output(self, attended: Tensor) -> Tensor:
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self._heads(x)
        dropout = self.dropout if self.training else 0.0
        return self._output(
            F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        )

    def step(self, x: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
        """The same for the one token at `position`, which is added to the cache."""
        query, key, value = self._heads(x)
        keys[:, :, position] = key[:, :, 0]
        values[:, :, position] = value[:, :, 0]
        seen = position + 1
        return self._output(
            F.scaled_dot_product_attention(query, keys[:, :, :seen], values[:, :, :seen])
        )


class Block(nn.Module):
    """Pre-norm transformer block, with ``nn.TransformerEncoderLayer``'s parameters."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(hidden_size, num_heads, dropout)
        self.linear1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.linear2 = nn.Linear(4 * hidden_size, hidden_size)
        self.norm1 = nn.LayerNorm(hidden_size)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.drop = nn.Dropout(dropout)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.drop(self.linear2(self.drop(F.relu(self.linear1(self.norm2(x))))))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.self_attn(self.norm1(x)))
        return x + self._feed_forward(x)

    def step(self, x: Tensor, keys: Tensor, values: Tensor, position: int) -> Tensor:
        x = x + self.self_attn.step(self.norm1(x), keys, values, position)
        return x + self._feed_forward(x)


class Stack(nn.Module):
    """Holds the blocks under the name they have in the file."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def __iter__(self) -> Iterator[Block]:
        return cast(Iterator[Block], iter(self.layers))

    def __len__(self) -> int:
        return len(self.layers)


class Prior(nn.Module):
    """Autoregressive model of code sequences.

    A sequence is one chunk's code map read row by row (lowest frequency band
    first), the quantizer levels of a position next to each other: token
    ``position * num_quantizers + level``.

    Args:
        codebook_size: codes a level, K.
        seq_len: tokens a chunk, H * W * num_quantizers.
        num_quantizers: levels of the residual quantizer.
        hidden_size, num_layers, num_heads, dropout: of the transformer.
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
        # Part of the file format; attention here is causal without reading it.
        mask = torch.ones(seq_len, seq_len, dtype=torch.bool).triu(diagonal=1)
        self.register_buffer("causal_mask", mask)

    def _embed(self, tokens: Tensor, start: int) -> Tensor:
        end = start + tokens.shape[1]
        levels = torch.arange(start, end, device=tokens.device) % self.num_quantizers
        places = self.pos_emb.weight[start:end] + self.level_emb(levels)
        return self.drop(self.token_emb(tokens) + places)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[batch, token, codebook_size]`` of the token after each of `tokens`.

        Args:
            tokens: int64 ``[batch, token]``, at most ``seq_len`` tokens.
        """
        x = self._embed(tokens, 0)
        for block in self.transformer:
            x = block(x)
        return self.head(self.ln_f(x))

    def step(self, tokens: Tensor, cache: KeyValueCache) -> Tensor:
        """Logits ``[batch, codebook_size]`` of the next token, from one more token a sequence.

        Args:
            tokens: int64 ``[batch]``, the tokens at position ``cache.length``.
            cache: of the tokens before; these are added to it.
        """
        x = self._embed(tokens[:, None], cache.length)
        for block, (keys, values) in zip(self.transformer, cache.layers, strict=True):
            x = block.step(x, keys, values, cache.length)
        cache.length += 1
        return self.head(self.ln_f(x))[:, 0]
