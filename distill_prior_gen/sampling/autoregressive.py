"""Token by token sampling of many chunks in one batch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.prior import CachedPrior, Prior
from distill_prior_gen.sampling.chunks import FREE, Chunk, repeat_columns
from distill_prior_gen.sampling.filters import filter_logits

CACHE_BYTES = 512 * 2**20
"""A batch has as many chunks as have their keys and values in this much memory."""

ROUNDING = 4e-6
"""Bound on the rounding error of float32 logits, which depends on batch size and device."""


@torch.no_grad()
def sample_autoregressive(
    model: PriorModel, config: GenerationConfig, chunks: Sequence[Chunk], progress: Progress
) -> Tensor:
    """Draw the codes of `chunks`, token by token; those that are held are put in instead.

    The chunks of a batch are each at a row of their own (see `rows_in_turn`), and at the
    same place in it. Tokens that all of them hold go through the prior together with the
    next that is drawn. Every draw is made on the CPU, whatever the device.

    The first token has no distribution of its own in the prior: it is drawn from how
    often each code began a chunk in training, as far as the model file knows.

    Returns:
        int64 ``[chunk, H * W, num_quantizers]``, on the CPU.

    Raises:
        FloatingPointError: if the prior's logits are not finite, naming chunk and step.
    """
    prior, (height, width) = model.prior, model.grid
    row_length = width * prior.num_quantizers
    tokens = torch.stack([chunk.held for chunk in chunks]).flatten(1)
    maps = tokens.view(len(chunks), height, width, -1)
    uniform = torch.from_numpy(np.stack([c.generator.random(prior.seq_len) for c in chunks]))
    temperature = torch.tensor([c.temperature for c in chunks], dtype=torch.float64)
    first_token = model.first_token_weights.log()
    draw = ReproducibleDraw(prior, config)

    size = max(1, CACHE_BYTES // CachedPrior.bytes_per_sequence(prior))
    sources = [{column // width for column in chunk.repeats.values()} for chunk in chunks]
    turns = list(rows_in_turn(sources, height, size))
    cached = CachedPrior(prior, max(map(len, turns)))
    given = 0
    for turn, batch in enumerate(turns):
        for chunk, _ in batch:
            repeat_columns(maps, chunk, chunks[chunk].repeats)
        which, start = (torch.tensor(batch) * torch.tensor([1, row_length])).unbind(1)
        free = (maps[which, start // row_length] == FREE).flatten(1)
        for offset in free.any(dim=0).nonzero().flatten().tolist():
            share = (turn + offset / row_length) / len(turns)
            progress(share, f"Generating chunk {int(share * len(chunks)) + 1}/{len(chunks)}...")
            place, now = start + offset, turn * row_length + offset
            drawn = _draw(first_token.expand(len(batch), -1), uniform[which, 0])
            begun = place.nonzero().flatten()
            if len(begun):
                places = (place[:, None] + torch.arange(given - now, 0)).clamp(min=0)
                known = tokens[which[:, None], places].clamp(min=0)
                logits = cached.step(known.to(model.device), places)[begun].cpu()
                before = [tokens[which[i], : place[i]] for i in begun]
                finite = logits.isfinite().all(dim=-1).tolist()
                if not all(finite):
                    lane = begun[finite.index(False)]
                    raise FloatingPointError(
                        f"the prior of {model.name} gave logits that are not finite (chunk "
                        f"{which[lane] + 1}, step {place[lane]}); its weights are damaged or too "
                        "large"
                    )
                heat = temperature[which[begun], offset % prior.num_quantizers]
                drawn[begun] = draw(logits, uniform[which, place][begun], before, heat)
            given = now
            tokens[which, place] = drawn.where(free[:, offset], tokens[which, place])
    return maps.flatten(1, 2)


def rows_in_turn(
    sources: Sequence[set[int]], height: int, size: int
) -> Iterator[list[tuple[int, int]]]:
    """The batches in which chunks are drawn row by row.

    The code map is drawn row by row, so a chunk that repeats columns of others needs no more
    of them than the rows it has come to: it can follow them one row behind, and up to
    `height` chunks of a take are drawn at once.

    Args:
        sources: chunks that each chunk repeats columns of.
        height: rows of a chunk.
        size: chunks of a batch, at most.

    Yields:
        The ``(chunk, row)`` at each place of the batch. A chunk keeps its place, at its last
        row once it is finished, until another takes it.
    """
    waiting, batch = list(range(len(sources))), list[int]()
    done = [0] * len(sources)
    while min(done, default=height) < height:
        for chunk in [c for c in waiting if all(done[source] for source in sources[c])]:
            place = next((i for i, c in enumerate(batch) if done[c] == height), len(batch))
            if place == size:
                break
            batch[place : place + 1] = [chunk]
            waiting.remove(chunk)
        yield [(chunk, min(done[chunk], height - 1)) for chunk in batch]
        for chunk in batch:
            done[chunk] = min(done[chunk] + 1, height)


class ReproducibleDraw:
    """Draws codes that do not depend on how the logits were rounded.

    The last bits of a float32 matrix product depend on the batch size and the
    device, and once in some thousand draws they decide between two codes. So each
    code is drawn twice, with logits and uniform number moved a little either way, by
    more than the rounding error; where the two draws differ, the logits are computed
    once more, in float64.
    """

    def __init__(self, prior: Prior, config: GenerationConfig) -> None:
        self.prior = prior
        self.exact: Prior | None = None
        levels = prior.num_quantizers
        top_k, top_p = (config.per_level(field, levels) for field in ("top_k", "top_p"))
        self.settings = [(k, p, config.min_p) for k, p in zip(top_k, top_p, strict=True)]
        direction = np.random.default_rng(0).uniform(-1, 1, prior.codebook_size)
        self.perturbation = ROUNDING * torch.from_numpy(direction).float()
        # Moves the uniform number further than the logits can move a border between codes.
        self.shift = torch.tensor([[-ROUNDING], [ROUNDING]], dtype=torch.float64)

    def __call__(
        self, logits: Tensor, uniform: Tensor, before: Sequence[Tensor], temperature: Tensor
    ) -> Tensor:
        """Codes ``[chunk]`` from logits ``[chunk, codebook_size]``.

        Args:
            logits: of the prior, float32.
            uniform: a number from [0, 1) for each chunk, float64 ``[chunk]``.
            before: the tokens that led to the logits; of all chunks, the next is of one level.
            temperature: for each chunk, float64 ``[chunk]``.
        """
        filters = self.settings[len(before[0]) % self.prior.num_quantizers]
        heat = temperature[:, None].float()
        moved = torch.stack([logits + self.perturbation, logits - self.perturbation])
        codes, others = _draw(filter_logits(moved, heat, *filters), uniform + self.shift)
        for chunk in (codes != others).nonzero().flatten().tolist():
            self.exact = self.exact or copy.deepcopy(self.prior).cpu().double()
            exact = filter_logits(
                self.exact(before[chunk][None])[0, -1], temperature[chunk, None], *filters
            )
            codes[chunk] = _draw(exact, uniform[chunk])
        return codes


def _draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Codes ``[...]`` at which the cumulative distribution passes `uniform` ``[...]``.

    Args:
        logits: ``[..., codebook_size]``.
        uniform: from [0, 1), float64.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    target = (uniform * cumulative[..., -1]).unsqueeze(-1)
    code = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return code.clamp_(max=logits.shape[-1] - 1)
