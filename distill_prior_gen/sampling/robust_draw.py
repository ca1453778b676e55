"""Random draws whose results do not depend on how logits were rounded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.sampling.filters import filter_logits

ROUNDING = 4e-6
"""Bound on the rounding error of float32 logits, which depends on batch size and device."""


Network = TypeVar("Network", bound=nn.Module)


class ExactNetwork(Generic[Network]):
    """A network in float64 on the CPU, made when it is first needed."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @cached_property
    def network(self) -> Network:
        return copy.deepcopy(self._network).cpu().double()


class RobustDraw:
    """Draws codes that are the same for every batch size and device.

    The last bits of a float32 matrix product depend on the batch size and the device, and about
    once in a thousand draws they decide between two codes. Each code is therefore drawn twice,
    with logits and random number shifted in opposite directions by more than the rounding error.
    Where the two draws differ, the logits are computed again in float64.

    Args:
        codebook_size: number of codes of each level.
        levels: number of levels.
        config: the filters of the logits.
    """

    def __init__(self, codebook_size: int, levels: int, config: GenerationConfig) -> None:
        top_k, top_p = (config.per_level(field, levels) for field in ("top_k", "top_p"))
        self.filters = [(k, p, config.min_p) for k, p in zip(top_k, top_p, strict=True)]
        direction = np.random.default_rng(0).uniform(-1, 1, codebook_size)
        self.perturbation = ROUNDING * torch.from_numpy(direction).float()
        # Further than the perturbation can move the border between two codes.
        self.shift = torch.tensor([[-ROUNDING], [ROUNDING]], dtype=torch.float64)

    def __call__(
        self,
        logits: Tensor,
        uniform: Tensor,
        temperature: Tensor,
        level: int,
        exact_logits: Callable[[int], Tensor],
    ) -> Tensor:
        """Draw one code for each chunk; all codes are of the same level.

        Args:
            logits: float32 ``[chunk, codebook_size]``.
            uniform: random numbers from [0, 1), float64 ``[chunk]``.
            temperature: float64 ``[chunk]``.
            level: level of the codes.
            exact_logits: function that computes the logits of a chunk, which is given by its
                index, in float64, ``[codebook_size]``.

        Returns:
            int64 ``[chunk]``.
        """
        filters = self.filters[level]
        perturbed = torch.stack([logits + self.perturbation, logits - self.perturbation])
        filtered = filter_logits(perturbed, temperature[:, None].float(), *filters)
        codes, others = inverse_transform(filtered, uniform + self.shift)
        for chunk in (codes != others).nonzero().flatten().tolist():
            exact = filter_logits(exact_logits(chunk), temperature[chunk, None], *filters)
            codes[chunk] = inverse_transform(exact, uniform[chunk])
        return codes


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
