"""The definitions of top-k and nucleus sampling."""

import math

import numpy as np


def kept_codes(logits: np.ndarray, temperature: float, top_k: int, top_p: float) -> set[int]:
    """Codes that top-k and top-p keep, one code at a time and in float64."""
    scaled = logits / temperature
    allowed = list(range(len(scaled)))
    if top_k:
        k_th = sorted(scaled, reverse=True)[min(top_k, len(scaled)) - 1]
        allowed = [code for code in allowed if scaled[code] >= k_th]
    if not 0 < top_p < 1:
        return set(allowed)
    weights = {code: math.exp(scaled[code] - scaled.max()) for code in allowed}
    total = sum(weights.values())
    kept: set[int] = set()
    reached = 0.0
    for code in sorted(allowed, key=lambda code: -weights[code]):
        if reached >= top_p:
            break
        kept.add(code)
        reached += weights[code] / total
    return kept
