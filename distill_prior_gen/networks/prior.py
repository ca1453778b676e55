"""The prior: a decoder-only transformer over interleaved codes.

Parameter names are those of the ``.distill`` file, which stem from
``nn.TransformerEncoder`` (pre-norm, ReLU, no final norm in the stack). The
blocks are written out here so that `CachedPrior` can go through them one token
at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    """Pre-norm transformer block, with ``nn.TransformerEncoderLayer``'s parameters."""

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

    def places(self) -> Tensor:
        """What is added to the embeddings of a sequence, ``[seq_len, hidden_size]``."""
        levels = torch.arange(self.seq_len, device=self.pos_emb.weight.device)
        return self.pos_emb.weight + self.level_emb(levels % self.num_quantizers)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[batch, token, codebook_size]`` of the token after each of `tokens`.

        Args:
            tokens: int64 ``[batch, token]``, at most ``seq_len`` tokens.
        """
        x = self.drop(self.token_emb(tokens) + self.places()[: tokens.shape[1]])
        for block in self.transformer:
            x = block(x)
        return self.head(self.ln_f(x))


class CachedPrior:
    """A prior that takes a few tokens at a time and keeps the keys and values of the earlier ones.

    Args:
        prior: in evaluation mode; its weights must not change.
        batch: sequences that are continued together, at most.
    """

    def __init__(self, prior: Prior, batch: int) -> None:
        self.prior = prior
        self._places = prior.places()
        weight = prior.token_emb.weight
        head_size = weight.shape[1] // prior.num_heads
        # Not empty: what is masked out of a sum must be finite.
        self._cache = weight.new_zeros(
            len(prior.transformer), 2, batch, prior.num_heads, prior.seq_len, head_size
        )
        self._layers = [
            (
                _linear(block.self_attn.in_proj_weight, block.self_attn.in_proj_bias, batch),
                _linear(block.self_attn.out_proj.weight, block.self_attn.out_proj.bias, batch),
                _linear(block.linear1.weight, block.linear1.bias, batch),
                _linear(block.linear2.weight, block.linear2.bias, batch),
            )
            for block in prior.transformer
        ]
        self._head = _linear(prior.head.weight, None, batch)

    @staticmethod
    def bytes_per_sequence(prior: Prior) -> int:
        """Memory that the keys and values of one sequence take."""
        weight = prior.token_emb.weight
        hidden_bytes = weight.shape[1] * weight.element_size()
        return 2 * len(prior.transformer) * prior.seq_len * hidden_bytes

    def step(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Logits ``[batch, codebook_size]`` of the token that follows the last one of each.

        Args:
            tokens: int64 ``[batch, token]``; all before them have been given, of the last
                sequences none need be.
            places: int64 ``[batch, token]``, on the CPU: ascending places of the tokens in
                their sequences. What is given again replaces what was given before.
        """
        prior, (batch, count) = self.prior, tokens.shape
        first, end = int(places[0, 0]), int(places.max()) + 1
        aligned = places.equal(torch.arange(first, end).expand(batch, -1))
        places = places.to(tokens.device)
        mask = None
        if count > 1 or not aligned:
            mask = torch.arange(end, device=tokens.device) <= places[:, None, :, None]
        sequences = torch.arange(batch, device=tokens.device)[:, None]
        x = (prior.token_emb(tokens) + self._places[places]).flatten(0, 1)
        blocks = zip(prior.transformer, self._layers, self._cache[:, :, :batch], strict=True)
        for block, (in_proj, out_proj, linear1, linear2), cache in blocks:
            heads = in_proj(block.norm1(x)).view(batch, count, 3, prior.num_heads, -1)
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            if aligned:  # faster than by index
                cache[0, :, :, first:end], cache[1, :, :, first:end] = key, value
            else:
                cache[:, sequences, :, places] = heads[:, :, 1:]
            keys, values = cache[:, :, :, :end]
            attended = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
            x = x + out_proj(attended.transpose(1, 2).flatten(2).flatten(0, 1))
            x = x + linear2(F.relu(linear1(block.norm2(x))))
        return self._head(prior.ln_f(x.view(batch, count, -1)[:, -1]))


def _linear(weight: Tensor, bias: Tensor | None, batch: int) -> Callable[[Tensor], Tensor]:
    """`F.linear` for ``[batch, in]``; on the CPU by oneDNN, with the weight packed for it.

    For the few rows of a batch that takes about half the time of the CPU's usual matrix
    product. The operators are those that `torch.compile` replaces linear layers with.
    """
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return lambda x: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), batch)
    return lambda x: torch.ops.mkldnn._linear_pointwise.default(x, packed, bias, "none", [], "")
