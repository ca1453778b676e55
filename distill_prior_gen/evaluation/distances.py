"""Distances between two sets of sounds, each a set of rows of features.

References:
    Y. Chung et al.: KAD: No more FAD! An effective and efficient evaluation metric for audio
    generation. 2025, arXiv:2502.15602 (kernel distance).
    K. Kilgour et al.: Fréchet audio distance. 2019, arXiv:1812.08466.
    M. F. Naeem et al.: Reliable fidelity and diversity metrics for generative models. 2020,
    arXiv:2002.09797 (density and coverage).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS = 5
"""Density and coverage look as far as the neighbour of this number (Naeem et al. 2020)."""

BLOCK_ROWS = 1024
"""Rows whose distances to all others are in memory at once."""


def median_distance(rows: np.ndarray) -> float:
    """Median of the distances between different rows ``[row, feature]``, of at least two."""
    return float(torch.pdist(torch.from_numpy(rows).double()).median())


def kernel_distance(reference: np.ndarray, rows: np.ndarray, bandwidth: float) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy with a Gaussian kernel.

    The kernel of two rows at distance d is ``exp(-d**2 / (2 * bandwidth**2))``. The estimate is
    the mean kernel within the one set, plus that within the other, minus twice that between them,
    without the kernel of a row and itself. It is 0 on average for two samples of the same
    distribution, whatever their sizes, and may be a little below.

    Args:
        reference, rows: two sets of at least two rows, float ``[row, feature]``.
        bandwidth: width of the kernel; `median_distance` of the reference is usual.
    """
    first, second = (torch.from_numpy(x).double() for x in (reference, rows))
    within = sum(
        (_kernel_sum(x, x, bandwidth) - len(x)) / (len(x) * (len(x) - 1)) for x in (first, second)
    )
    between = _kernel_sum(first, second, bandwidth) / (len(first) * len(second))
    return within - 2 * between


def _kernel_sum(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """Sum of the kernel over all pairs of rows."""
    width = max(bandwidth, 1e-12)
    return sum(
        float(_distances(block, second).div_(width).square_().div_(-2).exp_().sum())
        for block in first.split(BLOCK_ROWS)
    )


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distances ``[row of first, row of second]``, exactly 0 for equal rows."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def frechet_distance(reference: np.ndarray, rows: np.ndarray) -> float:
    """Squared Fréchet distance of the normal distributions with the means and covariances of sets.

    It is ``|m1 - m2|**2 + tr(C1 + C2 - 2 * (C1 @ C2)**0.5)``. Small sets overestimate it.

    Args:
        reference, rows: two sets of at least two rows, float ``[row, feature]``.
    """
    means = [x.mean(axis=0) for x in (reference, rows)]
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (reference, rows))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # The eigenvalues of C1 @ C2 are those of this symmetric matrix.
    product = np.linalg.eigvalsh(root @ second @ root).clip(min=0)
    trace = np.trace(first) + np.trace(second) - 2 * np.sqrt(product).sum()
    return float(np.square(means[0] - means[1]).sum() + max(trace, 0.0))


def density_and_coverage(
    reference: np.ndarray, rows: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """How densely rows lie where the reference is, and how much of the reference they cover.

    Around each reference row lies a ball that reaches to its k-th nearest other reference row.

    Args:
        reference: at least two rows, float ``[row, feature]``.
        rows: float ``[row, feature]``.
        neighbours: k; of a small reference the number of the other rows.

    Returns:
        Density: the number of balls that a row lies in, divided by k, averaged over the rows. 1
        is usual for the same distribution, 0 is far away; it may be above 1.

        Coverage: the share of the balls that contain a row, from 0 to 1.
    """
    first, second = (torch.from_numpy(x).double() for x in (reference, rows))
    k = min(neighbours, len(first) - 1)
    # The nearest row is the row itself.
    radii = [_distances(x, first).kthvalue(k + 1, dim=1).values for x in first.split(BLOCK_ROWS)]
    radius = torch.cat(radii)
    inside, covered = 0.0, torch.zeros(len(first), dtype=torch.bool)
    for block in second.split(BLOCK_ROWS):
        within = _distances(block, first) <= radius
        inside += float(within.sum())
        covered |= within.any(dim=0)
    return inside / (k * len(second)), float(covered.double().mean())


def nearest_rows(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Index of the nearest known row of each row, int64 ``[row]``."""
    first, second = (torch.from_numpy(x).double() for x in (rows, known))
    found = [_distances(block, second).argmin(dim=1) for block in first.split(BLOCK_ROWS)]
    return torch.cat(found).numpy() if found else np.empty(0, dtype=np.int64)


def effective_number(labels: np.ndarray) -> float:
    """Number of labels that are really in use: exp of the entropy of how often each occurs.

    Args:
        labels: ``[row]``, at least one.

    Returns:
        1 if all are the same, n for n labels that are equally frequent.
    """
    _, counts = np.unique(labels, return_counts=True)
    share = counts / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
