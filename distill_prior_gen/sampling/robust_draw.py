"""Random draws whose results do not depend on how logits were rounded."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.sampling.filters import filter_logits

ROUNDING = 4e-6
"""Bound on the rounding error of float32 logits, which depends on batch size and device."""


class RobustDraw:
    """Draws codes that are the same for every batch size and device.

    The last bits of a float32 matrix product depend on the batch size and the device, and about
    once in a thousand draws they decide between two codes. Each code is therefore drawn twice,
    with logits and random number shifted in opposite directions by more than the rounding error.
    Where the two draws differ, the logits are computed again in float64.
    """

    def __init__(self, prior: Prior, config: GenerationConfig) -> None:
        self.prior = prior
        self.prior_float64: Prior | None = None
        levels = prior.num_quantizers
        top_k, top_p = (config.per_level(field, levels) for field in ("top_k", "top_p"))
        self.filters = [(k, p, config.min_p) for k, p in zip(top_k, top_p, strict=True)]
        direction = np.random.default_rng(0).uniform(-1, 1, prior.codebook_size)
        self.perturbation = ROUNDING * torch.from_numpy(direction).float()
        # Further than the perturbation can move the border between two codes.
        self.shift = torch.tensor([[-ROUNDING], [ROUNDING]], dtype=torch.float64)

    def __call__(
        self, logits: Tensor, uniform: Tensor, previous: Sequence[Tensor], temperature: Tensor
    ) -> Tensor:
        """Draw one code for each chunk; all codes are of the same level.

        Args:
            logits: logits of the prior, float32 ``[chunk, codebook_size]``.
            uniform: random numbers from [0, 1), float64 ``[chunk]``.
            previous: the tokens that led to the logits, int64 ``[token]`` for each chunk.
            temperature: float64 ``[chunk]``.

        Returns:
            int64 ``[chunk]``.
        """
        filters = self.filters[len(previous[0]) % self.prior.num_quantizers]
        perturbed = torch.stack([logits + self.perturbation, logits - self.perturbation])
        filtered = filter_logits(perturbed, temperature[:, None].float(), *filters)
        codes, others = inverse_transform(filtered, uniform + self.shift)
        for chunk in (codes != others).nonzero().flatten().tolist():
            exact = self._logits_float64(previous[chunk])
            exact = filter_logits(exact, temperature[chunk, None], *filters)
            codes[chunk] = inverse_transform(exact, uniform[chunk])
        return codes

    def _logits_float64(self, tokens: Tensor) -> Tensor:
        if self.prior_float64 is None:
            self.prior_float64 = copy.deepcopy(self.prior).cpu().double()
        return self.prior_float64(tokens[None])[0, -1]


def inverse_transform(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw from categorical distributions by inverting their cumulative distributions.

    Args:
        logits: ``[..., codebook_size]``.
        uniform: from [0, 1), float64 ``[...]``.

    Returns:
        int64 ``[...]``.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    target = (uniform * cumulative[..., -1]).unsqueeze(-1)
    code = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return code.clamp_(max=logits.shape[-1] - 1)
