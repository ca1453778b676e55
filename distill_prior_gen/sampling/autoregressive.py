"""Token-by-token sampling of many chunks in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.cached_prior import CachedPrior
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, copy_shared_columns
from distill_prior_gen.sampling.robust_draw import ExactNetwork, RobustDraw, inverse_transform
from distill_prior_gen.sampling.schedule import wavefront_schedule

CACHE_BYTES = 512 * 2**20
"""Limit of the key/value cache, which determines the largest batch."""


@torch.no_grad()
def sample_autoregressive(
    model: PriorModel, config: GenerationConfig, chunks: Sequence[Chunk], progress: Progress
) -> Tensor:
    """Draw the codes of chunks token by token; fixed codes are copied, not drawn.

    Chunks that share columns are drawn one row behind each other (see `wavefront_schedule`). Each
    lane of the batch works on its own row, but at the same offset within it. Runs of tokens that
    are fixed in all lanes go through the prior together with the next token that is drawn. All
    draws are made on the CPU, whatever the device.

    Returns:
        int64 ``[chunk, H * W, num_quantizers]``, on the CPU.

    Raises:
        FloatingPointError: if the prior's logits are not finite, naming chunk and step.
    """
    prior, (height, width) = model.prior, model.grid
    levels, row_length = prior.num_quantizers, width * prior.num_quantizers
    uniform = np.stack([chunk.generator.random(prior.seq_len) for chunk in chunks])
    temperature = np.array([chunk.temperature for chunk in chunks])
    tokens = torch.stack([chunk.fixed for chunk in chunks]).flatten(1)  # [chunk, seq_len]
    maps = tokens.view(len(chunks), height, width, levels)  # the same memory
    _draw_first_tokens(model, tokens, uniform[:, 0])

    sources = [{column.chunk for column in chunk.shared_columns.values()} for chunk in chunks]
    max_lanes = max(1, CACHE_BYTES // CachedPrior.bytes_per_sequence(prior))
    schedule = list(wavefront_schedule(sources, height, max_lanes))
    cached = CachedPrior(prior, max(map(len, schedule)))
    draw, exact = RobustDraw(prior.codebook_size, levels, config), ExactNetwork(prior)
    cached_until = 0  # `elapsed` up to which the tokens of the lanes are in the cache
    for step, lanes in enumerate(schedule):
        for chunk, _ in lanes:
            copy_shared_columns(maps, chunk, chunks[chunk].shared_columns)
        lane_chunks, rows = torch.tensor(lanes).unbind(1)  # [lane]
        unknown = (maps[lane_chunks, rows] == UNKNOWN).flatten(1)  # [lane, row_length]
        for offset in unknown.any(dim=0).nonzero().flatten().tolist():
            share = (step + offset / row_length) / len(schedule)
            progress(share, f"Generating chunk {int(share * len(chunks)) + 1}/{len(chunks)}...")
            elapsed = step * row_length + offset
            position = rows * row_length + offset  # [lane]
            # A lane whose chunk has just begun has fewer earlier tokens; its first is repeated.
            earlier = (position[:, None] + torch.arange(cached_until - elapsed, 0)).clamp(min=0)
            known = tokens[lane_chunks[:, None], earlier].clamp(min=0)  # [lane, token]
            logits = cached.step(known.to(model.device), earlier)  # [lane, codebook_size]
            cached_until = elapsed
            drawn = unknown[:, offset]
            ids, positions = lane_chunks[drawn], position[drawn]
            logits = logits.cpu()[drawn]
            _check_finite(model, logits, ids, positions)
            previous = [tokens[i, :n] for i, n in zip(ids, positions.tolist(), strict=True)]
            level = offset % levels
            codes = draw(
                logits.numpy(),
                uniform[ids.numpy(), positions.numpy()],
                temperature[ids.numpy(), level],
                level,
                partial(_exact_logits, exact, previous),
            )
            tokens[ids, positions] = torch.from_numpy(codes)
    return maps.flatten(1, 2)


def _exact_logits(exact: ExactNetwork[Prior], previous: Sequence[Tensor], lane: int) -> Tensor:
    """Logits in float64 after the tokens ``previous[lane]``, ``[codebook_size]``."""
    return exact.network(previous[lane][None])[0, -1]


def _draw_first_tokens(model: PriorModel, tokens: Tensor, uniform: np.ndarray) -> None:
    """Fill in the first tokens ``[chunk]`` that are unknown.

    The prior has no distribution for them. They are drawn from how often each code was the first
    of a chunk in training, as far as the model file tells.
    """
    logits = model.first_token_weights.double().log().expand(len(tokens), -1)
    drawn = torch.from_numpy(inverse_transform(logits.numpy(), uniform))
    tokens[:, 0] = drawn.where(tokens[:, 0] == UNKNOWN, tokens[:, 0])


def _check_finite(model: PriorModel, logits: Tensor, chunk_ids: Tensor, positions: Tensor) -> None:
    finite = logits.isfinite().all(dim=-1).tolist()
    if not all(finite):
        lane = finite.index(False)
        raise FloatingPointError(
            f"the prior of {model.name} gave logits that are not finite (chunk "
            f"{chunk_ids[lane] + 1}, step {positions[lane]}); its weights are damaged or too large"
        )
