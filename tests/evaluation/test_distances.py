"""Distances between sets of rows, against formulas and known distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen.evaluation.distances import (
    density_and_coverage,
    effective_number,
    frechet_distance,
    kernel_distance,
    median_distance,
    nearest_rows,
)


def normal(seed, count=200, dimensions=3, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, (count, dimensions))


def test_the_kernel_distance_is_the_sum_over_pairs():
    first, second, width = normal(0, 7), normal(1, 5, shift=1), 1.3

    def kernel(a, b):
        return np.exp(-np.square(a - b).sum() / (2 * width**2))

    def within(rows):
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return np.mean(pairs)

    between = np.mean([kernel(a, b) for a in first for b in second])
    expected = within(first) + within(second) - 2 * between
    assert kernel_distance(first, second, width) == pytest.approx(expected)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average_for_small_sets_too():
    distances = [kernel_distance(normal(2 * n, 6), normal(2 * n + 1, 6), 2.0) for n in range(300)]
    error = np.std(distances) / np.sqrt(len(distances))
    assert abs(np.mean(distances)) < 4 * error


def test_the_frechet_distance_of_normal_distributions_is_that_of_their_parameters():
    """For independent features: squared difference of means and of standard deviations."""
    first, second = normal(0, 50_000), normal(1, 50_000, shift=2, scale=3)
    expected = 3 * 2**2 + 3 * (3 - 1) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=0.03)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_is_that_of_the_means_and_covariances():
    """The eigenvalues of a product of covariances, which is not symmetric, are taken directly."""
    first, second = normal(0, 30) @ normal(2, 3), normal(1, 25) @ normal(3, 3)
    covariances = np.cov(first.T), np.cov(second.T)
    roots = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real)
    means = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    expected = means + sum(np.trace(c) for c in covariances) - 2 * roots.sum()
    assert frechet_distance(first, second) == pytest.approx(expected)


@given(seed=st.integers(0, 1000), shift=st.floats(-5, 5))
def test_the_frechet_distance_does_not_depend_on_the_order_or_the_origin(seed, shift):
    first, second = normal(seed, 30), normal(seed + 1, 40, scale=2)
    distance = frechet_distance(first, second)
    assert frechet_distance(second, first) == pytest.approx(distance)
    assert frechet_distance(first + shift, second + shift) == pytest.approx(distance, rel=1e-6)


def test_density_and_coverage_of_one_distribution_and_of_another():
    density, coverage = density_and_coverage(normal(0, 400), normal(1, 400))
    assert density == pytest.approx(1, abs=0.15)
    assert coverage > 0.9
    assert density_and_coverage(normal(0), normal(1, shift=50)) == (0, 0)
    # One dense spot covers little.
    _, coverage = density_and_coverage(normal(0, 400), normal(1, 400, scale=0.01))
    assert coverage < 0.1
    # The balls reach from -2 to 2, from 0 to 2, from 0 to 4 and from 1 to 99.
    known = np.array([[0.0], [1.0], [2.0], [50.0]])
    assert density_and_coverage(known, np.array([[0.5]]), neighbours=2) == (1.5, 0.75)


def test_the_nearest_rows_and_the_median_distance():
    known = np.array([[0.0], [10.0], [20.0]])
    assert nearest_rows(np.array([[9.0], [1.0], [99.0]]), known).tolist() == [1, 0, 2]
    assert median_distance(known) == 10.0


@given(counts=st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_the_effective_number_is_at_most_the_number(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    number = effective_number(labels)
    assert number + 1e-9 >= 1
    assert number <= len(counts) + 1e-9
    if len(set(counts)) == 1:
        assert number == pytest.approx(len(counts))
