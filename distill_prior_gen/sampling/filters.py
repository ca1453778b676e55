"""Temperature, top-k, nucleus (top-p) and min-p filtering of logits.

References:
    A. Fan, M. Lewis, Y. Dauphin: Hierarchical neural story generation. 2018, arXiv:1805.04833
    (top-k).
    A. Holtzman, J. Buys, L. Du, M. Forbes, Y. Choi: The curious case of neural text degeneration.
    2020, arXiv:1904.09751 (nucleus).
    M. Nguyen et al.: Turning up the heat: min-p sampling for creative and coherent LLM outputs.
    2024, arXiv:2407.01082 (min-p).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def filter_logits(
    logits: Tensor,
    temperature: float | Tensor = 1.0,
    top_k: int = 0,
    top_p: float = 0.0,
    min_p: float = 0.0,
) -> Tensor:
    """Divide logits by a temperature, and set those of codes that may not be drawn to -inf.

    Args:
        logits: ``[..., codebook_size]``.
        temperature: divisor of the logits, greater than 0; a number or a tensor that broadcasts.
        top_k: keep the `top_k` largest logits, and those equal to the smallest of them. 0 and
            values above the codebook size keep all.
        top_p: keep the smallest set of codes whose probability (after temperature and
            top-k) reaches `top_p`, at least one code. 0, 1 and values above 1 keep all.
        min_p: keep codes whose probability is at least `min_p` times the largest, from 0 to 1. 0
            keeps all.

    Returns:
        A new tensor, ``[..., codebook_size]``.

    Raises:
        ValueError: if a setting is out of range.
    """
    divisor = torch.as_tensor(temperature)
    if not ((divisor > 0) & divisor.isfinite()).all():
        raise ValueError(f"temperature must be greater than 0, not {temperature}")
    if top_k < 0:
        raise ValueError(f"top_k must be 0 or greater, not {top_k}")
    if not top_p >= 0:
        raise ValueError(f"top_p must be 0 or greater, not {top_p}")
    if not 0 <= min_p <= 1:
        raise ValueError(f"min_p must be from 0 to 1, not {min_p}")
    scaled = (logits / temperature).detach()
    return torch.from_numpy(drop_codes(scaled.double().cpu().numpy(), top_k, top_p, min_p)).to(
        scaled
    )


def drop_codes(logits: np.ndarray, top_k: int, top_p: float, min_p: float) -> np.ndarray:
    """Set logits of codes that may not be drawn to -inf; see `filter_logits`.

    For the few logits of a step, NumPy takes a fifth of the time of PyTorch.

    Args:
        logits: float64 ``[..., codebook_size]``.

    Returns:
        A new array, ``[..., codebook_size]``.
    """
    logits = logits.copy()
    if 0 < top_k < logits.shape[-1]:
        smallest_kept = np.partition(logits, -top_k, axis=-1)[..., -top_k, None]
        logits[logits < smallest_kept] = -math.inf
    if 0 < top_p < 1:
        order = np.argsort(-logits, axis=-1, kind="stable")
        ordered = np.take_along_axis(logits, order, axis=-1)
        weight = np.exp(ordered - ordered[..., :1])
        probability = weight / weight.sum(axis=-1, keepdims=True)
        beyond = probability.cumsum(axis=-1) - probability >= top_p
        beyond[..., 0] = False
        ordered[beyond] = -math.inf
        np.put_along_axis(logits, order, ordered, axis=-1)
    if min_p > 0:
        logits[logits < logits.max(axis=-1, keepdims=True) + math.log(min_p)] = -math.inf
    return logits
