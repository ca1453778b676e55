"""The timeline prior with a key/value cache, for sampling token by token.

It runs in NumPy on the CPU, whatever the device. A token takes some fifty operations on small
arrays, and PyTorch needs several times as long to start one as NumPy needs to finish it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from distill_prior_gen.networks.timeline import Block, TimelineNetwork

Linear = Callable[[np.ndarray], np.ndarray]


class CachedTimeline:
    """A timeline prior that knows the beginnings of sequences, and extends them token by token.

    Args:
        network: on the CPU and in evaluation mode; its weights must not change.
        lanes: number of sequences.

    Attributes:
        memory: what is known before the next column, ``[lane, width]``.
        change: logit that another recording begins with the next column, ``[lane]``.
    """

    def __init__(self, network: TimelineNetwork, lanes: int) -> None:
        self.levels, self.size = network.levels, network.codebook_size
        self.offsets, self.codes = network.offsets.numpy(), _array(network.codes.weight)
        self._column, self._context = _linear(network.column), _linear(network.context)
        # The token before enters as one of few vectors.
        self._previous = _linear(network.previous)(self.codes)
        self._place = _array(network.place.weight)
        self._blocks = [_CachedBlock(block, lanes, network.memory + 1) for block in network.blocks]
        self._distance = _array(network.distance)
        self._norm_weight, self._norm_bias = map(_array, (network.norm.weight, network.norm.bias))
        self._change = _linear(network.change)
        self._column_blocks = [
            _CachedBlock(block, lanes, network.tokens) for block in network.column_blocks
        ]
        self._head = _linear_parts(network.head, network.column_norm, network.levels)
        self._columns = 0
        self._extend(_array(network.start)[None].repeat(lanes, axis=0))

    def begin_column(self, condition: np.ndarray) -> None:
        """Begin to predict the tokens of the next column.

        Args:
            condition: see `TimelineNetwork.condition`, ``[lane, width]``.
        """
        known = self._context(self.memory) + condition
        self._known, self._token = known[:, None] + self._place, 0  # [lane, token, width]
        for block in self._column_blocks:
            block.clear()

    def predict(self, previous: np.ndarray) -> np.ndarray:
        """Logits of the next token of the column, float32 ``[lane, codebook_size]``.

        Args:
            previous: the token before it, int64 ``[lane]``; not read for the first token.
        """
        x = self._known[:, self._token]
        if self._token:
            x = x + self._previous[previous + self.offsets[self._token - 1]]
        for block in self._column_blocks:
            x = block(x)
        self._token += 1
        return self._head[(self._token - 1) % self.levels](_normalize(x))

    def append(self, codes: np.ndarray, condition: np.ndarray) -> None:
        """Extend each sequence by a column.

        Args:
            codes: int64 ``[lane, token]``.
            condition: see `TimelineNetwork.condition`, ``[lane, width]``.
        """
        embedded = self.codes[codes + self.offsets].reshape(len(codes), -1)
        self._extend(self._column(embedded) + condition)

    def _extend(self, x: np.ndarray) -> None:
        capacity = self._distance.shape[1]
        # The newest column replaces the oldest, so the distances go round.
        ago = (self._columns - np.arange(min(self._columns + 1, capacity))) % capacity
        for block in self._blocks:
            x = block(x, self._distance[:, ago])
        self._columns += 1
        self.memory = _normalize(x) * self._norm_weight + self._norm_bias
        self.change = self._change(self.memory)[:, 0]


class _CachedBlock:
    """A `Block` that is given one token of each sequence at a time.

    Args:
        block: the block.
        lanes: number of sequences.
        capacity: number of tokens whose keys and values are kept; a further one replaces the
            oldest.
    """

    def __init__(self, block: nn.Module, lanes: int, capacity: int) -> None:
        assert isinstance(block, Block)
        width = block.qkv.in_features
        self.heads, self.head_size = block.heads, width // block.heads
        self.qkv, self.out = _linear(block.qkv, block.norm1), _linear(block.out)
        self.up, self.down = _linear(block.up, block.norm2), _linear(block.down)
        shape = (2, lanes, self.heads, capacity, self.head_size)
        self.keys, self.values = np.zeros(shape, np.float32)
        self.count = 0

    def clear(self) -> None:
        """Forget all tokens."""
        self.count = 0

    def __call__(self, x: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """The block's output for the next token.

        Args:
            x: ``[lane, width]``.
            bias: added to the logits of the attention, ``[head, key]``.
        """
        capacity = self.keys.shape[2]
        slot, keys = self.count % capacity, min(self.count + 1, capacity)
        self.count += 1
        heads = self.qkv(_normalize(x)).reshape(len(x), 3, self.heads, self.head_size)
        self.keys[:, :, slot], self.values[:, :, slot] = heads[:, 1], heads[:, 2]
        query = heads[:, 0, :, :, None] * self.head_size**-0.5
        logits = (self.keys[:, :, :keys] @ query)[..., 0]  # [lane, head, key]
        if bias is not None:
            logits += bias
        weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        attended = weight[:, :, None] @ self.values[:, :, :keys]
        x = x + self.out(attended.reshape(x.shape))
        return x + self.down(np.maximum(self.up(_normalize(x)), 0))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _linear(layer: nn.Linear, norm: nn.LayerNorm | None = None) -> Linear:
    """A linear layer, after the scale and shift of a normalization if there is one."""
    return _linear_parts(layer, norm, 1)[0]


def _linear_parts(layer: nn.Linear, norm: nn.LayerNorm | None, parts: int) -> list[Linear]:
    """A linear layer as several, each of which gives an equal part of the output."""
    weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
    if norm:
        bias = bias + weight @ norm.bias.detach().double()
        weight = weight * norm.weight.detach().double()

    def part(weight: Tensor, bias: Tensor) -> Linear:
        matrix, offset = (t.mT.float().contiguous().numpy() for t in (weight, bias[:, None]))
        return lambda x: x @ matrix + offset

    return [part(w, b) for w, b in zip(weight.chunk(parts), bias.chunk(parts), strict=True)]


def _normalize(x: np.ndarray) -> np.ndarray:
    """`torch.nn.functional.layer_norm` over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-5)
