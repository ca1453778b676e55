"""Sampling whole takes column by column, from a prior that remembers seconds of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import ALIASES, GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, temperatures
from distill_prior_gen.sampling.robust_draw import ROUNDING, ExactNetwork, RobustDraw

AUTO, TIMELINE, CONTINUE = "auto", "timeline", "continue"
"""Names of samplers. The first one is the second where a file has a timeline prior, else the
third."""


def choose_sampler(model: PriorModel, name: str) -> str:
    """The sampler that a name stands for.

    Raises:
        ValueError: if it is the timeline and the model has none.
    """
    name = ALIASES.get(name, name)
    if name == AUTO:
        return TIMELINE if model.timeline else CONTINUE
    if name == TIMELINE and model.timeline is None:
        raise ValueError(missing_timeline(model))
    return name


def missing_timeline(model: PriorModel) -> str:
    """The message that a model has no usable timeline prior, and how to train one."""
    fault = f" that can be used ({model.timeline_fault})" if model.timeline_fault else ""
    force = " --force" if model.timeline_fault else ""
    return (
        f"{model.path} has no timeline prior{fault}; use the sampler 'continue', or train one with "
        f"'distill-prior train-timeline {model.path} FOLDER{force}'"
    )


class TimelineState:
    """What the network knows of sequences, extended column by column.

    Args:
        network: in evaluation mode; its weights must not change.
        lanes: number of sequences.
    """

    def __init__(self, network: TimelineNetwork, lanes: int) -> None:
        self.network = network
        self._past: list[Tensor | None] = [None] * len(network.blocks)
        # How far each of the remembered columns is away, the oldest first.
        self._distance = network.distance.flip(1)[:, None]
        self.memory = self._extend(network.start.expand(lanes, 1, -1))

    def append(self, columns: Tensor) -> None:
        """Add a column to each sequence: result of `TimelineNetwork.embed`, ``[lane, width]``."""
        self.memory = self._extend(columns[:, None])

    def _extend(self, x: Tensor) -> Tensor:
        """What is known after a column, ``[lane, width]``."""
        for layer, block in enumerate(self.network.blocks):
            past = self._past[layer]
            keys = 1 if past is None else past.shape[3] + 1
            x, entries = block(x, self._distance[..., -keys:], past)
            self._past[layer] = entries[:, :, :, -self.network.memory :]
        return self.network.norm(x)[:, 0]


class ColumnState:
    """The tokens of a column in each sequence, predicted one after the other.

    Args:
        network: in evaluation mode.
        memory: what is known before the column, ``[lane, width]``.
        condition: see `TimelineNetwork.condition`, ``[lane, width]``.
    """

    def __init__(self, network: TimelineNetwork, memory: Tensor, condition: Tensor) -> None:
        self.network, self.token = network, 0
        known = network.context(memory) + condition
        self._known = known[:, None] + network.place.weight  # [lane, token, width]
        self._past: list[Tensor | None] = [None] * len(network.column_blocks)

    def predict(self, previous: Tensor) -> Tensor:
        """Logits of the next token, ``[lane, codebook_size]``.

        Args:
            previous: the token before it, int64 ``[lane]``; not read for the first token.
        """
        network, token = self.network, self.token
        x = self._known[:, token : token + 1]
        if token:
            code = previous + network.offsets[token - 1]
            x = x + network.previous(network.codes(code))[:, None]
        for layer, block in enumerate(network.column_blocks):
            x, self._past[layer] = block(x, None, self._past[layer])
        self.token += 1
        start = token % network.levels * network.codebook_size
        rows = slice(start, start + network.codebook_size)
        head = network.head
        hidden = network.column_norm(x[:, 0])
        return torch.nn.functional.linear(hidden, head.weight[rows], head.bias[rows])


class _Takes:
    """Takes that are drawn together, and their conditions.

    Attributes:
        tokens: codes in time order, int64 ``[take, column, token]``, `UNKNOWN` where not drawn.
        changed, recording: see `TimelineNetwork.condition`, int64 ``[take, column]``.
    """

    def __init__(self, network: TimelineNetwork, chunks: Sequence[Chunk], rows: int) -> None:
        self.network, self.exact = network, ExactNetwork(network)
        fixed = torch.stack([chunk.fixed for chunk in chunks]).unflatten(1, (rows, -1))
        self.tokens = fixed.transpose(1, 2).flatten(2).contiguous()
        takes, columns, tokens = self.tokens.shape
        # For each column: whether the recording changes, to which one, and the codes.
        numbers = [chunk.generator.random((columns, 2 + tokens)) for chunk in chunks]
        self.uniform = torch.from_numpy(np.stack(numbers))
        self.changed = torch.zeros(takes, columns, dtype=torch.int64)
        self.recording = torch.full((takes, columns), network.recordings)

    def choose_recordings(self, column: int, memory: Tensor, wander: float) -> None:
        """Decide in which takes another recording begins with a column, and which one."""
        prompted = (self.tokens[:, column] != UNKNOWN).any(dim=1)
        if column:
            self.recording[:, column] = self.recording[:, column - 1]
            changed = self._draw_change(column, memory, wander)
        else:
            changed = torch.ones(len(prompted), dtype=torch.bool)
        changed = changed & ~prompted
        drawn = (self.uniform[:, column, 1] * self.network.recordings).long()
        self.changed[:, column] = changed.long()
        self.recording[:, column] = drawn.where(changed, self.recording[:, column])

    def _draw_change(self, column: int, memory: Tensor, wander: float) -> Tensor:
        if wander == 0:
            return torch.zeros(len(self.tokens), dtype=torch.bool)
        uniform = self.uniform[:, column, 0]
        # The change happens where its logit exceeds that of the random number.
        needed = uniform.logit() - math.log(wander)
        logit = self.network.change(memory)[:, 0].cpu().double()
        for take in ((logit - needed).abs() < ROUNDING).nonzero().flatten().tolist():
            exact = self.exact.network
            logit[take] = exact.change(self._exact_memory(take, column))[0]
        return logit > needed

    def condition(self, column: int) -> Tensor:
        """Embedding of the conditions of a column, ``[take, width]``."""
        device = self.network.start.device
        changed, recording = self.changed[:, column], self.recording[:, column]
        return self.network.condition(changed.to(device), recording.to(device))

    def exact_logits(self, takes: Sequence[int], column: int, token: int, index: int) -> Tensor:
        """Logits of a token of take ``takes[index]`` in float64, ``[codebook_size]``."""
        exact, take, here = self.exact.network, takes[index], slice(column, column + 1)
        condition = exact.condition(self.changed[take, here], self.recording[take, here])
        codes = self.tokens[take, here].clamp(min=0)
        return exact.predict(self._exact_memory(take, column)[None], condition, codes)[0, token]

    def _exact_memory(self, take: int, column: int) -> Tensor:
        """What is known before a column, in float64, ``[width]``."""
        exact = self.exact.network
        reach = len(exact.blocks) * exact.memory + 1  # columns that it depends on
        past = slice(max(0, column - reach), column)
        condition = exact.condition(self.changed[take, past], self.recording[take, past])
        return exact.remember(exact.embed(self.tokens[take, past], condition)[None])[0, -1]


@torch.no_grad()
def sample_timeline(
    model: PriorModel, config: GenerationConfig, chunks: Sequence[Chunk], progress: Progress
) -> Tensor:
    """Draw whole takes column by column; fixed codes are copied, not drawn.

    Returns:
        int64 ``[chunk, H * W, num_quantizers]``, on the CPU.

    Raises:
        ValueError: if the model has no timeline prior.
        FloatingPointError: if logits are not finite.
    """
    network = model.timeline
    if network is None:
        raise ValueError(missing_timeline(model))
    rows, levels = model.grid[0], model.num_quantizers
    takes = _Takes(network, chunks, rows)
    count, columns, tokens = takes.tokens.shape
    draw = RobustDraw(model.codebook_size, levels, config)
    state = TimelineState(network, count)
    for column in range(columns):
        progress(column / columns, f"Generating column {column + 1}/{columns}...")
        takes.choose_recordings(column, state.memory, config.wander)
        share = column / max(1, columns - 1)
        temperature = torch.tensor(temperatures(config, levels, share), dtype=torch.float64)
        condition = takes.condition(column)
        codes = takes.tokens[:, column]  # a view
        unknown = codes == UNKNOWN
        if unknown.any():
            within = ColumnState(network, state.memory, condition)
        for token in range(tokens if unknown.any() else 0):
            previous = codes[:, max(0, token - 1)].to(model.device)
            logits = within.predict(previous).cpu()
            drawn = unknown[:, token].nonzero().flatten()
            if not logits.isfinite().all():
                raise FloatingPointError(
                    f"the timeline prior of {model.name} gave logits that are not finite; its "
                    "weights are damaged or too large"
                )
            codes[drawn, token] = draw(
                logits[drawn],
                takes.uniform[drawn, column, 2 + token],
                temperature[token % levels].expand(len(drawn)),
                token % levels,
                partial(takes.exact_logits, drawn.tolist(), column, token),
            )
        state.append(network.embed(codes.to(model.device), condition))
    maps = takes.tokens.unflatten(2, (rows, levels)).transpose(1, 2)  # [take, row, column, level]
    return maps.flatten(1, 2)
