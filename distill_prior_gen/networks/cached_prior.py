"""The prior with a key/value cache, for token-by-token sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.networks.prior import Prior


class KVCache:
    """Keys and values of the earlier tokens of one attention layer.

    Attributes:
        entries: ``[2, batch, head, seq_len, head_size]``, keys and values.
    """

    def __init__(self, prior: Prior, batch: int) -> None:
        weight = prior.token_emb.weight
        head_size = weight.shape[1] // prior.num_heads
        # Zeros rather than empty memory: what is masked out of a sum must be finite.
        self.entries = weight.new_zeros(2, batch, prior.num_heads, prior.seq_len, head_size)

    def update(
        self, keys_values: Tensor, positions: Tensor, start: int, end: int, aligned: bool
    ) -> tuple[Tensor, Tensor]:
        """Store the keys and values of new tokens.

        Args:
            keys_values: ``[2, batch, head, token, head_size]``.
            positions: positions of the tokens, int64 ``[batch, token]``.
            start, end: smallest position, and largest position + 1.
            aligned: whether the positions of all sequences are ``start, start + 1, ..., end - 1``.

        Returns:
            Keys and values of the positions up to `end`, each ``[batch, head, end, head_size]``.
        """
        batch = keys_values.shape[1]
        if aligned:  # a slice is faster than an index
            self.entries[:, :batch, :, start:end] = keys_values
        else:
            sequences = torch.arange(batch, device=positions.device)[:, None]
            # Indices that a slice separates come first: [batch, token, 2, head, head_size].
            self.entries[:, sequences, :, positions] = keys_values.permute(1, 3, 0, 2, 4)
        keys, values = self.entries[:, :batch, :, :end]
        return keys, values


class CachedPrior:
    """A prior that is given a few tokens at a time.

    Args:
        prior: in evaluation mode; its weights must not change.
        batch: largest number of sequences that are continued together.
    """

    def __init__(self, prior: Prior, batch: int) -> None:
        self.prior = prior
        self._position_embeddings = prior.position_embeddings()
        self._caches = [KVCache(prior, batch) for _ in prior.transformer]
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
        """Memory of the keys and values of one sequence."""
        weight = prior.token_emb.weight
        hidden_bytes = weight.shape[1] * weight.element_size()
        return 2 * len(prior.transformer) * prior.seq_len * hidden_bytes

    def step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Logits of the token that follows the last one of each sequence.

        Earlier tokens must already be cached. Sequences at the end of the batch may be left out of
        a call. Passing a position again overwrites its cache entry.

        Args:
            tokens: int64 ``[batch, token]``.
            positions: ascending positions of the tokens in their sequences, int64 ``[batch,
                token]``, on the CPU.

        Returns:
            ``[batch, codebook_size]``.
        """
        prior, (batch, count) = self.prior, tokens.shape
        start, end = int(positions[0, 0]), int(positions.max()) + 1
        aligned = positions.equal(torch.arange(start, end).expand(batch, -1))
        positions = positions.to(tokens.device)
        mask = None
        if count > 1 or not aligned:
            # [batch, 1, token, end]: which of the cached positions a token attends to
            mask = torch.arange(end, device=tokens.device) <= positions[:, None, :, None]
        x = prior.token_emb(tokens) + self._position_embeddings[positions]
        x = x.flatten(0, 1)  # [batch * token, hidden_size]
        blocks = zip(prior.transformer, self._layers, self._caches, strict=True)
        for block, (in_proj, out_proj, linear1, linear2), cache in blocks:
            heads = in_proj(block.norm1(x)).view(batch, count, 3, prior.num_heads, -1)
            heads = heads.permute(2, 0, 3, 1, 4)  # [3, batch, head, token, head_size]
            keys, values = cache.update(heads[1:], positions, start, end, aligned)
            attended = F.scaled_dot_product_attention(heads[0], keys, values, attn_mask=mask)
            attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)
            x = x + out_proj(attended)  # [batch * token, hidden_size]
            x = x + linear2(F.relu(linear1(block.norm2(x))))
        last = x.view(batch, count, -1)[:, -1]  # [batch, hidden_size]
        return self._head(prior.ln_f(last))


def _linear(weight: Tensor, bias: Tensor | None, batch: int) -> Callable[[Tensor], Tensor]:
    """`F.linear` for ``[batch, in]``; on the CPU by oneDNN, with the weight packed for it.

    For batches of few rows this takes about half the time of the CPU's usual matrix product. The
    operators are those that `torch.compile` replaces linear layers with.
    """
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return lambda x: F.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), batch)
    return lambda x: torch.ops.mkldnn._linear_pointwise.default(x, packed, bias, "none", [], "")
