import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen import filter_logits
from tests.helpers.filters import kept_codes


def kept_by_filter(logits: torch.Tensor, *settings: Any) -> set[int]:
    return set(filter_logits(logits, *settings).isfinite().nonzero().flatten().tolist())


# Between this and 1, the rounding of the sum decides which codes are kept.
LARGEST_TOP_P = 1 - 1e-9


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 256),
    spread=st.floats(0.1, 8),
    temperature=st.floats(0.1, 2),
    top_k=st.integers(0, 512),
    top_p=st.floats(0, LARGEST_TOP_P) | st.just(1.0),
)
def test_keeps_what_the_definition_keeps(seed, size, spread, temperature, top_k, top_p):
    logits = np.random.default_rng(seed).normal(0, spread, size)
    expected = kept_codes(logits, temperature, top_k, top_p)
    assert kept_by_filter(torch.from_numpy(logits), temperature, top_k, top_p) == expected


@given(
    seed=st.integers(0, 2**32 - 1),
    temperature=st.floats(0.1, 2),
    top_p=st.floats(0, 1),
    min_p=st.floats(0.001, 0.999),
)
def test_min_p_drops_what_is_unlikelier_by_the_likeliest(seed, temperature, top_p, min_p):
    """However the probabilities were made to add up to 1 before."""
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, 64))
    share = (logits / temperature).softmax(dim=-1)
    likely = set((share / share.max() >= min_p).nonzero().flatten().tolist())
    before = kept_by_filter(logits, temperature, 0, top_p)
    assert kept_by_filter(logits, temperature, 0, top_p, min_p) == before & likely


def test_min_p_keeps_the_likeliest_and_those_that_are_as_likely():
    assert kept_by_filter(torch.tensor([1.0, 2.0, 2.0]), 1.0, 0, 0.0, 1.0) == {1, 2}
    assert kept_by_filter(torch.tensor([1.0, 2.0, -80.0]), 1.0, 0, 0.0, 0.0) == {0, 1, 2}


@given(temperature=st.floats(0.1, 2), top_k=st.integers(0, 8), top_p=st.floats(0, 1))
def test_kept_logits_are_divided_by_the_temperature(temperature, top_k, top_p):
    logits = torch.linspace(-2, 3, 8)
    filtered = filter_logits(logits, temperature, top_k, top_p)
    kept = filtered.isfinite()
    assert kept.any()
    torch.testing.assert_close(filtered[kept], (logits / temperature)[kept])


def test_each_row_is_filtered_on_its_own():
    logits = torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(0))
    together = filter_logits(logits, 0.7, 6, 0.8)
    for row, alone in zip(together.flatten(0, 1), logits.flatten(0, 1), strict=True):
        torch.testing.assert_close(row, filter_logits(alone, 0.7, 6, 0.8), rtol=0, atol=0)


def test_ties_at_the_kth_value_are_kept():
    assert kept_by_filter(torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0]), 1.0, 2) == {0, 1, 2, 3}


@pytest.mark.parametrize("top_p", [0.0, 1.0, 1.5])
def test_nucleus_of_zero_or_from_one_on_is_off(top_p):
    assert kept_by_filter(torch.tensor([50.0, 0.0, -50.0]), 1.0, 0, top_p) == {0, 1, 2}


def test_top_k_above_the_codebook_keeps_all():
    assert kept_by_filter(torch.arange(5.0), 1.0, 512) == set(range(5))


def test_nucleus_is_never_empty():
    assert len(kept_by_filter(torch.zeros(64), 1.0, 0, 1e-12)) == 1


def test_nucleus_that_is_reached_exactly_stops_there():
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()
    assert kept_by_filter(logits, 1.0, 0, 0.5) == {0}
    assert kept_by_filter(logits, 1.0, 0, 0.51) == {0, 1}


def test_nucleus_counts_probability_after_top_k():
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    assert kept_by_filter(probabilities.log(), 1.0, 2, 0.55) == {0}  # 0.4 / 0.7 = 0.57


def test_input_is_left_alone():
    logits = torch.arange(4.0)
    filter_logits(logits, 0.5, 2, 0.5)
    assert logits.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ((0.0,), "temperature"),
        ((math.nan,), "temperature"),
        ((1.0, -1), "top_k"),
        ((1.0, 0, -0.1), "top_p"),
        ((1.0, 0, math.nan), "top_p"),
        ((1.0, 0, 0.0, -0.1), "min_p"),
        ((1.0, 0, 0.0, math.nan), "min_p"),
    ],
)
def test_senseless_settings_are_named(settings, field):
    with pytest.raises(ValueError, match=field):
        filter_logits(torch.zeros(4), *settings)
