import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen.audio.joining import join_log_mels, overlap_add, pieces_needed


def test_ones_into_zeros_fall_without_a_jump():
    overlap = 480
    joined = overlap_add(torch.stack([torch.ones(2000), torch.zeros(2000)]), overlap)
    steps = joined.diff()
    assert joined[0] == 1
    assert joined[-1] == 0
    assert steps.max() <= 0
    # The steepest step of a Hann fade is pi / 2 divided by its length.
    assert steps.abs().max() <= np.pi / 2 / overlap * 1.001


@given(
    count=st.integers(1, 6),
    length=st.integers(1, 60),
    share=st.floats(0, 0.5),
    value=st.floats(-5, 5),
)
def test_a_constant_stays_constant_and_the_length_adds_up(count, length, share, value):
    overlap = int(length * share)
    joined = overlap_add(torch.full((count, 2, length), value), overlap)
    assert joined.shape == (2, count * length - (count - 1) * overlap)
    torch.testing.assert_close(joined, torch.full_like(joined, value))


def test_without_overlap_pieces_stand_side_by_side():
    pieces = torch.arange(12.0).reshape(3, 4)
    assert overlap_add(pieces, 0).tolist() == list(range(12))


@given(total=st.integers(1, 10_000), length=st.integers(2, 500), share=st.floats(0, 0.5))
def test_just_enough_pieces_are_asked_for(total, length, share):
    overlap = int(length * share)
    count = pieces_needed(total, length, overlap)

    def joined(pieces):
        return pieces * length - (pieces - 1) * overlap

    assert joined(count) >= total
    assert count == 1 or joined(count - 1) < total


def test_mels_fade_in_power():
    loud, quiet = torch.full((3, 8), 4.0).log1p(), torch.full((3, 8), 2.0).log1p()
    power = join_log_mels(torch.stack([loud, quiet]), 4).expm1()
    fade = np.sin((np.arange(4) + 0.5) / 4 * np.pi / 2) ** 2
    expected = np.concatenate([np.full(4, 4.0), 4 + (2 - 4) * fade, np.full(4, 2.0)])
    for band in power:
        assert band.numpy() == pytest.approx(expected, rel=1e-5)
