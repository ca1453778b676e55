import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen.editing.levels import column_levels, match_levels, match_margins

NOISE = torch.randn(30_000, generator=torch.Generator().manual_seed(0)) / 10


def test_the_level_of_a_column_is_its_mean_power():
    """A sine of amplitude 1 has -3 dB; a column without samples is silent."""
    sine = torch.sin(torch.arange(4000) * (2 * np.pi / 100))
    levels = column_levels(torch.cat([sine, 0.1 * sine]), start=-2000, column=2000.0, columns=6)
    np.testing.assert_allclose(levels, [-120, -3.01, -3.01, -23.01, -23.01, -120], atol=0.01)


@given(before=st.floats(-12, 12), after=st.floats(-12, 12))
def test_new_sound_becomes_as_loud_as_what_is_around_it(before, after):
    """The same sound with two other levels in the margins: the gain is known everywhere."""
    start, end = 8000, 22_000
    gains = np.interp(np.arange(len(NOISE)), [start, end], [before, after])
    old = NOISE * torch.from_numpy(10 ** (gains / 20)).float()
    matched = match_margins(NOISE, old, start, end)
    torch.testing.assert_close(matched, old, rtol=1e-3, atol=1e-5)


def test_one_margin_is_enough_and_silence_tells_nothing():
    old = 2 * NOISE
    for start, end in ((0, 20_000), (10_000, len(NOISE))):
        torch.testing.assert_close(match_margins(NOISE, old, start, end), old, rtol=1e-3, atol=1e-5)
    assert match_margins(NOISE, old, 0, len(NOISE)).equal(NOISE)
    quiet = torch.zeros_like(NOISE)
    assert match_margins(NOISE, quiet, 10_000, 20_000).equal(NOISE)


def test_no_level_changes_by_more_than_15_db():
    matched = match_margins(NOISE, 100 * NOISE, 10_000, 20_000)
    torch.testing.assert_close(matched, NOISE * 10**0.75, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("start", [-700, 0])
def test_columns_get_their_levels(start):
    wanted = np.full(6, -30.0)
    matched = match_levels(NOISE[:27_000], wanted, start, 5000.0)
    levels = column_levels(matched, start, 5000.0, 5)
    np.testing.assert_allclose(levels, wanted[:5], atol=0.5)
