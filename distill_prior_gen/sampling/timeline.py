"""Sampling whole takes column by column, from a prior that remembers seconds of them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import ALIASES, DESCRIPTORS, GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.cached_timeline import CachedTimeline
from distill_prior_gen.networks.timeline import NUM_BINS, TimelineNetwork
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, Settings, temperatures, value_at
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
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


FORGOTTEN = 64
"""Columns of endless sound that are dropped at once."""

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
        self.model, self.network, self.exact = model, network, ExactNetwork(network)
        fixed = torch.stack([chunk.fixed for chunk in chunks]).unflatten(1, (model.grid[0], -1))
        self.tokens = fixed.transpose(1, 2).flatten(2).contiguous().numpy()
        takes, columns = self.tokens.shape[:2]
        self.cached = CachedTimeline(network, takes)
        self.generators = [chunk.generator for chunk in chunks]
        self.uniform = self._random_numbers(columns)
        self.changed = np.zeros((takes, columns), np.int64)
        self.recording = np.full((takes, columns), network.recordings)
        self.bins = np.stack([_bins(config, share) for share in np.linspace(0, 1, columns)])
        self.change(config, columns)
        self.first = None if config.like is None else model.find_recording(config.like)

    def change(self, config: GenerationConfig, column: int) -> None:
        """Draw a column and those after it with other settings."""
        self.bins[column:] = _bins(config, 0.0)
        self.draw = RobustDraw(self.model.codebook_size, self.model.num_quantizers, config)
        self.wander = config.wander

    def _random_numbers(self, columns: int) -> np.ndarray:
        """For each column: whether the recording changes, to which one, and the codes."""
        return np.stack([it.random((columns, 2 + self.tokens.shape[2])) for it in self.generators])

    def forget(self, columns: int) -> None:
        """Drop the first columns, and make room for as many at the end."""
        for name, unknown in (
            ("tokens", UNKNOWN),
            ("changed", 0),
            ("recording", self.network.recordings),
        ):
            kept = getattr(self, name)[:, columns:]
            room = np.full_like(getattr(self, name)[:, :columns], unknown)
            setattr(self, name, np.concatenate([kept, room], axis=1))
        self.bins = np.concatenate([self.bins[columns:], self.bins[-1:].repeat(columns, axis=0)])
        random = self._random_numbers(columns)
        self.uniform = np.concatenate([self.uniform[:, columns:], random], axis=1)

    def draw_column(self, column: int, temperature: tuple[float, ...]) -> None:
        """Draw the codes of a column that are not fixed.

        Raises:
            FloatingPointError: if logits are not finite.
        """
        self.choose_recordings(column)
        condition = self.condition(column)
        codes = self.tokens[:, column]  # a view
        unknown = codes == UNKNOWN
        self.cached.begin_column(condition)
        for token in range(codes.shape[1] if unknown.any() else 0):
            logits = self.cached.predict(codes[:, max(0, token - 1)])
            if not np.isfinite(logits).all():
                raise FloatingPointError(
                    f"the timeline prior of {self.model.name} gave logits that are not finite; "
                    "its weights are damaged or too large"
                )
            drawn, level = np.flatnonzero(unknown[:, token]), token % len(temperature)
            codes[drawn, token] = self.draw(
                logits[drawn],
                self.uniform[drawn, column, 2 + token],
                np.full(len(drawn), temperature[level]),
                level,
                partial(self.exact_logits, drawn, column, token),
            )
        self.cached.append(codes, condition)

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
        past = slice(max(0, column - memory_reach(exact)), column)
        columns = torch.from_numpy(self.tokens[take, past])
        return exact.remember(exact.embed(columns, self._condition(exact, take, past))[None])[0, -1]

    def _condition(self, network: TimelineNetwork, takes: slice | int, columns: slice) -> Tensor:
        """Embedding of the conditions of columns, ``[..., column, width]``."""
        changed, recording = self.changed[takes, columns], self.recording[takes, columns]
        return network.condition(*map(torch.from_numpy, (changed, recording, self.bins[columns])))


def memory_reach(network: TimelineNetwork) -> int:
    """Number of earlier columns that what is known before a column depends on, and the start."""
    return len(network.blocks) * network.memory + 1


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
    takes = _Takes(model, copy.deepcopy(model.timeline).cpu(), config, chunks)
    columns, levels = takes.tokens.shape[1], model.num_quantizers
    for column in range(columns):
        progress(column / columns, f"Generating column {column + 1}/{columns}...")
        takes.draw_column(column, temperatures(config, levels, column / max(1, columns - 1)))
    maps = torch.from_numpy(takes.tokens).unflatten(2, (-1, levels)).transpose(1, 2)
    return maps.flatten(1, 2)


@torch.no_grad()
def timeline_columns(
    model: PriorModel, config: GenerationConfig, beginning: Tensor, settings: Settings
) -> Iterator[Tensor]:
    """The columns of `sample_timeline` one after the other, without end.

    As many columns are kept as a draw from float64 logits needs, and `FORGOTTEN` more.

    Args:
        model: the model.
        config: settings with a seed.
        beginning: columns that are given, int64 ``[H, column, level]``.
        settings: called with the number of a column; how it is drawn.

    Yields:
        int64 ``[H, 1, level]``.
    """
    assert model.timeline is not None
    assert config.seed is not None
    height, given, levels = beginning.shape
    network = copy.deepcopy(model.timeline).cpu()
    kept = max(memory_reach(network), given)
    fixed = torch.full((height, kept + FORGOTTEN, levels), UNKNOWN)
    fixed[:, :given] = beginning
    temperature = temperatures(config, levels, 0.0)
    chunk = Chunk(random_generator(config.seed, Purpose.CODES), fixed.flatten(0, 1), temperature)
    takes, column = _Takes(model, network, config, [chunk]), 0
    for number in itertools.count():
        if (wanted := settings(number)) != config:
            config, temperature = wanted, temperatures(wanted, levels, 0.0)
            takes.change(config, column)
        takes.draw_column(column, temperature)
        yield torch.from_numpy(takes.tokens[0, column].copy()).view(height, 1, levels)
        column += 1
        if column == kept + FORGOTTEN:
            takes.forget(FORGOTTEN)
            column = kept
