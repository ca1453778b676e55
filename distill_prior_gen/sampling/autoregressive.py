"""Token by token sampling of all chunks in one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.models.prior import CachedPrior, Prior
from distill_prior_gen.sampling.chunks import Chunk
from distill_prior_gen.sampling.filters import filter_logits

CACHE_BYTES = 512 * 2**20
"""Chunks are sampled in one batch as long as their keys and values fit in this much memory."""

ROUNDING = 4e-6
"""Bound on the rounding error of float32 logits, which depends on batch size and device."""


def sample_autoregressive(
    model: PriorModel, config: GenerationConfig, chunks: Sequence[Chunk], progress: Progress
) -> Tensor:
    """Draw the codes of `chunks`, token by token; those that are held are put in instead.

    The first token has no distribution of its own in the prior: it is drawn from how
    often each code began a chunk in training, as far as the model file knows.

    Returns:
        int64 ``[chunk, H * W, num_quantizers]``, on the CPU.

    Raises:
        FloatingPointError: if the prior's logits are not finite, naming chunk and step.
    """
    prior = model.prior
    draw = ReproducibleDraw(prior, config)
    codes = torch.stack([chunk.held for chunk in chunks]).flatten(1)
    size = max(1, CACHE_BYTES // CachedPrior.bytes_per_sequence(prior))
    for start in range(0, len(chunks), size):
        batch = chunks[start : start + size]

        def report(step: int, start: int = start, count: int = len(batch)) -> None:
            done = start + step / prior.seq_len * count
            progress(done / len(chunks), f"Generating chunk {int(done) + 1}/{len(chunks)}...")

        try:
            _sample_batch(model, draw, batch, codes[start : start + size], report)
        except _NotFiniteError as error:
            chunk, step = error.args
            raise FloatingPointError(
                f"the prior of {model.name} gave logits that are not finite (chunk "
                f"{start + chunk + 1}, step {step}); its weights are damaged or too large"
            ) from None
    return codes.unflatten(1, (-1, prior.num_quantizers))


class _NotFiniteError(Exception):
    """At (chunk in the batch, step)."""


@torch.inference_mode()
def _sample_batch(
    model: PriorModel,
    draw: ReproducibleDraw,
    chunks: Sequence[Chunk],
    tokens: Tensor,
    report: Callable[[int], None],
) -> None:
    """Fill in the free `tokens` ``[chunk, seq_len]``.

    Tokens that all chunks hold go through the prior together with the next that is drawn.
    Every draw is made on the CPU, whatever the device.
    """
    prior = model.prior
    uniform = torch.from_numpy(np.stack([c.generator.random(prior.seq_len) for c in chunks]))
    temperature = torch.tensor([c.temperature for c in chunks], dtype=torch.float64)
    free = tokens < 0
    cached = CachedPrior(prior, len(tokens))
    for step in free.any(dim=0).nonzero().flatten().tolist():
        report(step)
        if step == 0:
            weights = model.first_token_weights.log().expand(len(tokens), -1)
            drawn = _draw(weights, uniform[:, 0])
        else:
            logits = cached.step(tokens[:, cached.length : step].to(model.device)).cpu()
            finite = logits.isfinite().all(dim=-1)
            if not finite.all():
                raise _NotFiniteError(int(finite.int().argmin()), step)
            level = step % prior.num_quantizers
            drawn = draw(logits, uniform[:, step], tokens[:, :step], temperature[:, level])
        tokens[:, step] = drawn.where(free[:, step], tokens[:, step])


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
        self, logits: Tensor, uniform: Tensor, before: Tensor, temperature: Tensor
    ) -> Tensor:
        """Codes ``[chunk]`` from logits ``[chunk, codebook_size]``.

        Args:
            logits: of the prior, float32.
            uniform: a number from [0, 1) for each chunk, float64 ``[chunk]``.
            before: the tokens that led to the logits, ``[chunk, step]``.
            temperature: for each chunk, float64 ``[chunk]``.
        """
        filters = self.settings[before.shape[1] % self.prior.num_quantizers]
        heat = temperature[:, None].float()
        moved = torch.stack([logits + self.perturbation, logits - self.perturbation])
        codes, others = _draw(filter_logits(moved, heat, *filters), uniform + self.shift)
        unsure = codes != others
        if unsure.any():
            self.exact = self.exact or copy.deepcopy(self.prior).cpu().double()
            logits, heat = self.exact(before[unsure])[:, -1], temperature[unsure, None]
            codes[unsure] = _draw(filter_logits(logits, heat, *filters), uniform[unsure])
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
