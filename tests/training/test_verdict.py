import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen.training.verdict import (
    BY_HEART,
    DONE,
    LEARNING,
    TOO_FEW,
    UNUSED,
    judge,
    judge_codes,
    judge_recordings,
)


def falling(count, rate=0.05, floor=0.0):
    return [floor + math.exp(-rate * epoch) for epoch in range(count)]


def test_a_loss_that_falls_is_still_learning():
    verdict = judge(falling(20), falling(20), False)
    assert verdict.kind == LEARNING
    assert "Let it go on" in verdict.advice
    assert "more epochs" in judge(falling(20), falling(20), True).advice


def test_a_loss_that_has_settled_is_done():
    losses = falling(40, rate=0.5, floor=1.0)
    assert judge(losses, losses, False).kind == DONE
    assert "enough epochs" in judge(losses, losses, True).advice


def test_a_validation_loss_that_rises_is_learning_by_heart_since_its_lowest_epoch():
    rising = [1.0 + 0.02 * abs(epoch - 10) for epoch in range(30)]
    verdict = judge(falling(32), [None, None, *rising], False)
    assert verdict.kind == BY_HEART
    assert "since epoch 13" in verdict.advice  # two without validation, and counted from 1
    ended = judge(falling(32), [None, None, *rising], True)
    assert ended.kind == BY_HEART
    assert ended.advice.startswith("Epoch 13 is kept.")


def test_a_loss_that_rises_in_training_as_well_is_not_learning_by_heart():
    rising = [1.0 + 0.02 * abs(epoch - 10) for epoch in range(30)]
    assert judge(rising, rising, False).kind == DONE


def test_one_bad_epoch_changes_nothing():
    losses = falling(20)
    assert judge(losses, [*losses[:-1], 2.0], False).kind == LEARNING


def test_nothing_is_said_too_early():
    assert judge([1.0] * 8, [None] * 5 + [1.0] * 3, False) is None
    assert judge([], [], False) is None


@given(st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=50))
def test_the_unit_of_the_loss_does_not_matter(losses):
    scaled = [32 * loss for loss in losses]  # exactly
    kinds = {judge(values, values, False).kind for values in (losses, scaled)}
    assert len(kinds) == 1
    assert kinds <= {LEARNING, DONE, BY_HEART}


@pytest.mark.parametrize(
    ("seconds", "files", "few"), [(29.0, 20, True), (100.0, 7, True), (30.0, 8, False)]
)
def test_few_recordings_are_named(seconds, files, few):
    verdict = judge_recordings(seconds, files)
    assert (verdict is not None) == few
    if few:
        assert verdict.kind == TOO_FEW
        assert f"{seconds:.0f} seconds in {files} files" in verdict.advice


def test_levels_that_are_hardly_used_are_named():
    health = {"level_0": {"utilization": 0.9}, "level_1": {"utilization": 0.2}}
    verdict = judge_codes(health)
    assert verdict.kind == UNUSED
    assert "level 1 uses 20%" in verdict.advice
    assert "level 0" not in verdict.advice
    assert judge_codes({"level_0": {"utilization": 0.3}}) is None
