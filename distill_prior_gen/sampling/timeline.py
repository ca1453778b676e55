"""Sampling whole takes column by column, from a prior that remembers seconds of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import ALIASES, DESCRIPTORS, GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.cached_timeline import CachedTimeline
from distill_prior_gen.networks.timeline import NUM_BINS, TimelineNetwork
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, temperatures, value_at
from distill_prior_gen.sampling.robust_draw import (
    ROUNDING,
    ExactNetwork,
    RobustDraw,
    inverse_transform,
)

Chunks = Sequence[Chunk]

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
        raise ValueError(
            f"the sampler {TIMELINE!r} needs a timeline prior; {missing_timeline(model)}, or use "
            f"the sampler {CONTINUE!r}"
        )
    return name


def check_steering(model: PriorModel, config: GenerationConfig) -> None:
    """Refuse settings that only the sampler `TIMELINE` follows where another is used.

    Raises:
        ValueError: naming the setting, and what to do.
    """
    steering = [name for name in ("like", *DESCRIPTORS) if getattr(config, name) is not None]
    if steering and config.sampler != TIMELINE:
        if model.timeline is None:
            raise ValueError(f"{steering[0]} needs a timeline prior; {missing_timeline(model)}")
        raise ValueError(f"{steering[0]} needs the sampler 'timeline', not {config.sampler!r}")


def missing_timeline(model: PriorModel) -> str:
    """The message that a model has no usable timeline prior, and how to train one."""
    fault = f" that can be used ({model.timeline_fault})" if model.timeline_fault else ""
    force = " --force" if model.timeline_fault else ""
    return (
        f"{model.path} has none{fault}; train one with 'distill-prior train-timeline {model.path} "
        f"FOLDER{force}'"
    )


MIN_SHARE = 1e-6
"""Share of the columns of a recording in a bin at least, whatever the file says."""


class _Takes:
    """Takes that are drawn together, and their conditions.

    Attributes:
        tokens: codes in time order, int64 ``[take, column, token]``, `UNKNOWN` where not drawn.
        changed, recording, bins: see `TimelineNetwork.condition`, int64 ``[take, column]`` and
            ``[column, descriptor]``.
    """

    def __init__(
        self, model: PriorModel, network: TimelineNetwork, config: GenerationConfig, chunks: Chunks
    ) -> None:
        self.network, self.exact = network, ExactNetwork(network)
        fixed = torch.stack([chunk.fixed for chunk in chunks]).unflatten(1, (model.grid[0], -1))
        self.tokens = fixed.transpose(1, 2).flatten(2).contiguous().numpy()
        takes, columns, tokens = self.tokens.shape
        self.cached = CachedTimeline(network, takes)
        # For each column: whether the recording changes, to which one, and the codes.
        numbers = [chunk.generator.random((columns, 2 + tokens)) for chunk in chunks]
        self.uniform = np.stack(numbers)
        self.changed = np.zeros((takes, columns), np.int64)
        self.recording = np.full((takes, columns), network.recordings)
        self.wander = config.wander
        self.bins = np.stack([_bins(config, share) for share in np.linspace(0, 1, columns)])
        self.first = None if config.like is None else model.find_recording(config.like)

    def choose_recordings(self, column: int) -> None:
        """Decide in which takes another recording begins with a column, and which one."""
        prompted = (self.tokens[:, column] != UNKNOWN).any(axis=1)
        likelihood = self._likelihood(column)
        if column:
            self.recording[:, column] = self.recording[:, column - 1]
            changed = self._draw_change(column, likelihood)
        else:
            changed = np.ones(len(self.tokens), dtype=bool)
        changed &= ~prompted
        drawn = inverse_transform(np.log(likelihood), self.uniform[:, column, 1])
        if self.first is not None and not column:
            drawn[:] = self.first
        self.changed[:, column] = changed
        self.recording[changed, column] = drawn[changed]

    def _likelihood(self, column: int) -> np.ndarray:
        """Probability of the column's bins in each recording, ``[recording]``."""
        likelihood = np.ones(self.network.recordings)
        profile = self.network.profile.double().clamp(min=MIN_SHARE).numpy()
        for descriptor, bin_ in enumerate(self.bins[column]):
            if bin_ < NUM_BINS:
                likelihood *= profile[:, descriptor, bin_]
        return likelihood

    def _draw_change(self, column: int, likelihood: np.ndarray) -> np.ndarray:
        """Draw whether another recording begins, bool ``[take]``.

        The odds are those of the network times `wander`. By Bayes' rule they are larger where the
        descriptors that were asked for are rare in the present recording.
        """
        if self.wander == 0:
            return np.zeros(len(self.tokens), dtype=bool)
        present = np.append(likelihood, likelihood.mean())[self.recording[:, column]]
        odds = self.wander * likelihood.mean() / present
        uniform = self.uniform[:, column, 0]
        # The change happens where its logit exceeds that of the random number.
        with np.errstate(divide="ignore"):  # the logit of 0 is -inf
            needed = np.log(uniform / (1 - uniform)) - np.log(odds)
        logit = self.cached.change.astype(np.float64)
        for take in np.flatnonzero(np.abs(logit - needed) < ROUNDING).tolist():
            logit[take] = self.exact.network.change(self._exact_memory(take, column))[0]
        return logit > needed

    def condition(self, column: int) -> np.ndarray:
        """Embedding of the conditions of a column, ``[take, width]``."""
        return self._condition(self.network, slice(None), slice(column, column + 1))[:, 0].numpy()

    def exact_logits(self, takes: np.ndarray, column: int, token: int, index: int) -> Tensor:
        """Logits of a token of take ``takes[index]`` in float64, ``[codebook_size]``."""
        exact, take, here = self.exact.network, int(takes[index]), slice(column, column + 1)
        condition = self._condition(exact, take, here)
        codes = torch.from_numpy(self.tokens[take, here]).clamp(min=0)
        return exact.predict(self._exact_memory(take, column)[None], condition, codes)[0, token]

    def _exact_memory(self, take: int, column: int) -> Tensor:
        """What is known before a column, in float64, ``[width]``."""
        exact = self.exact.network
        reach = len(exact.blocks) * exact.memory + 1  # columns that it depends on
        past = slice(max(0, column - reach), column)
        columns = torch.from_numpy(self.tokens[take, past])
        return exact.remember(exact.embed(columns, self._condition(exact, take, past))[None])[0, -1]

    def _condition(self, network: TimelineNetwork, takes: slice | int, columns: slice) -> Tensor:
        """Embedding of the conditions of columns, ``[..., column, width]``."""
        changed, recording = self.changed[takes, columns], self.recording[takes, columns]
        return network.condition(*map(torch.from_numpy, (changed, recording, self.bins[columns])))


def _bins(config: GenerationConfig, share: float) -> np.ndarray:
    """Bin of each descriptor at a fraction `share` of a take, int64 ``[descriptor]``."""
    bins = np.full(len(DESCRIPTORS), NUM_BINS)
    for number, name in enumerate(DESCRIPTORS):
        value = value_at(getattr(config, name), share)
        if value is not None:
            bins[number] = min(int(NUM_BINS * value), NUM_BINS - 1)
    return bins


@torch.no_grad()
def sample_timeline(
    model: PriorModel, config: GenerationConfig, chunks: Chunks, progress: Progress
) -> Tensor:
    """Draw whole takes column by column; fixed codes are copied, not drawn.

    Returns:
        int64 ``[chunk, H * W, num_quantizers]``, on the CPU.

    Raises:
        ValueError: if the model knows no recording with the name `like`.
        FloatingPointError: if logits are not finite.
    """
    assert model.timeline is not None
    rows, levels = model.grid[0], model.num_quantizers
    takes = _Takes(model, copy.deepcopy(model.timeline).cpu(), config, chunks)
    columns, tokens = takes.tokens.shape[1:]
    draw = RobustDraw(model.codebook_size, levels, config)
    for column in range(columns):
        progress(column / columns, f"Generating column {column + 1}/{columns}...")
        takes.choose_recordings(column)
        temperature = temperatures(config, levels, column / max(1, columns - 1))
        condition = takes.condition(column)
        codes = takes.tokens[:, column]  # a view
        unknown = codes == UNKNOWN
        takes.cached.begin_column(condition)
        for token in range(tokens if unknown.any() else 0):
            logits = takes.cached.predict(codes[:, max(0, token - 1)])
            if not np.isfinite(logits).all():
                raise FloatingPointError(
                    f"the timeline prior of {model.name} gave logits that are not finite; its "
                    "weights are damaged or too large"
                )
            drawn, level = np.flatnonzero(unknown[:, token]), token % levels
            codes[drawn, token] = draw(
                logits[drawn],
                takes.uniform[drawn, column, 2 + token],
                np.full(len(drawn), temperature[level]),
                level,
                partial(takes.exact_logits, drawn, column, token),
            )
        takes.cached.append(codes, condition)
    maps = torch.from_numpy(takes.tokens).unflatten(2, (rows, levels)).transpose(1, 2)
    return maps.flatten(1, 2)
