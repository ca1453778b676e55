"""Random draws whose results do not depend on how logits were rounded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.sampling.filters import drop_codes

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
        self.perturbation = ROUNDING * direction
        # Further than the perturbation can move the border between two codes.
        self.shift = np.array([[-ROUNDING], [ROUNDING]])

    def __call__(
        self,
        logits: np.ndarray,
        uniform: np.ndarray,
        temperature: np.ndarray,
        level: int,
        exact_logits: Callable[[int], Tensor],
    ) -> np.ndarray:
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
        perturbed = np.stack([logits + self.perturbation, logits - self.perturbation])
        filtered = drop_codes(perturbed / temperature[:, None], *filters)
        codes, others = inverse_transform(filtered, uniform + self.shift)
        for chunk in np.flatnonzero(codes != others).tolist():
            exact = drop_codes(exact_logits(chunk).numpy() / temperature[chunk], *filters)
            codes[chunk] = inverse_transform(exact, uniform[chunk])
        return codes


def inverse_transform(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw from categorical distributions by inverting their cumulative distributions.

    Args:
        logits: float64 ``[..., codebook_size]``.
        uniform: from [0, 1), float64 ``[...]``.

    Returns:
        int64 ``[...]``.
    """
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    cumulative = weight.cumsum(axis=-1)
    target = uniform * cumulative[..., -1]
    code = (cumulative <= target[..., None]).sum(axis=-1)
    return np.minimum(code, logits.shape[-1] - 1)
