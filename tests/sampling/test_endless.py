from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_prior_gen import GenerationConfig, generate
from distill_prior_gen.sampling.autoregressive import sample_autoregressive
from distill_prior_gen.sampling.chunks import Sampler
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.endless import GROUP, endless_columns
from distill_prior_gen.sampling.robust_draw import RobustDraw
from distill_prior_gen.sampling.timeline import FORGOTTEN, memory_reach, sample_timeline

TIMELINE = Sampler(sample_timeline, whole=True)
AT_ONCE = Sampler(sample_autoregressive, continues=True, at_once=True)
IN_TURN = Sampler(sample_autoregressive, continues=True)


def columns_of(sampler, model, config, count, beginning=None, settings=None):
    """The first columns without end, ``[row, column, level]``."""
    if beginning is None:
        beginning = torch.empty(model.grid[0], 0, model.num_quantizers, dtype=torch.int64)
    parts, length = [], 0
    for part in endless_columns(
        sampler, model, config, beginning, settings or (lambda column: config)
    ):
        parts.append(part)
        length += part.shape[1]
        if length >= count:
            return torch.cat(parts, dim=1)[:, :count]


def map_of(model, config):
    """The code map of a take, without the last column, which may be that of padding."""
    take = generate(model, config)
    assert isinstance(take.layout, ContinuousLayout)
    return take.layout.code_map(take.codes.unflatten(1, (model.grid[0], -1)))[:, :-1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"wander": 5.0, "bright": 0.8, "temperature": 1.4}])
def test_a_timeline_without_end_has_the_codes_of_a_long_take(remembering, seed, settings):
    """The take is several times as long as what is kept."""
    config = GenerationConfig(
        sampler="timeline", seed=seed, duration=45, allow_long=True, quality="fast", **settings
    )
    expected = map_of(remembering, config)
    assert expected.shape[1] > 4 * (FORGOTTEN + memory_reach(remembering.timeline))
    assert columns_of(TIMELINE, remembering, config, expected.shape[1]).equal(expected)


@pytest.mark.slow
@pytest.mark.parametrize("context_columns", [1, 2, 16])
@pytest.mark.parametrize("sampler", [AT_ONCE, IN_TURN])
def test_a_chain_without_end_has_the_codes_of_a_long_take(model, sampler, context_columns):
    config = GenerationConfig(
        sampler="continue",
        seed=3,
        duration=12,
        context_columns=context_columns,
        temperature=(0.8, 1.3),
        quality="fast",
    )
    expected = map_of(model, config)
    assert columns_of(sampler, model, config, expected.shape[1]).equal(expected)


@pytest.mark.parametrize(("name", "sampler"), [("timeline", TIMELINE), ("continue", AT_ONCE)])
def test_given_columns_stay_and_are_continued(remembering, name, sampler):
    config = GenerationConfig(sampler=name, seed=4)
    drawn = columns_of(sampler, remembering, config, 6)
    given = (drawn[:, :2] + 1) % remembering.codebook_size
    continued = columns_of(sampler, remembering, config, 6, given)
    assert continued[:, :2].equal(given)
    assert not continued[:, 2:].equal(drawn[:, 2:])


def test_float64_logits_are_the_same_after_columns_were_forgotten(remembering, monkeypatch):
    class Exact(RobustDraw):
        def __call__(self, logits, uniform, temperature, level, exact_logits):
            rows = np.stack([exact_logits(lane).numpy() for lane in range(len(logits))])
            np.testing.assert_allclose(rows, logits, rtol=0, atol=4e-6)
            return super().__call__(rows, uniform, temperature, level, exact_logits)

    config, count = GenerationConfig(sampler="timeline", seed=1, wander=3), 2 * FORGOTTEN + 30
    expected = columns_of(TIMELINE, remembering, config, count)
    monkeypatch.setattr("distill_prior_gen.sampling.timeline.RobustDraw", Exact)
    assert columns_of(TIMELINE, remembering, config, count).equal(expected)


@pytest.mark.parametrize(
    "sampler", [Sampler(sample_autoregressive), Sampler(sample_timeline, whole=True)]
)
def test_samplers_that_cannot_go_on_are_refused(model, sampler):
    with pytest.raises(ValueError, match="sampler 'mine' cannot go on without end; use 'timeline'"):
        columns_of(sampler, model, GenerationConfig(sampler="mine", seed=1), 1)


@pytest.mark.parametrize("sampler", ["timeline", "continue"])
@pytest.mark.parametrize("column", [0, 150])
def test_codes_follow_the_settings_from_a_column_on(remembering, sampler, column):
    """From the first column on they are those of a stream with these settings throughout."""
    config = GenerationConfig(seed=3, sampler=sampler, temperature=1.3)
    other = replace(config, temperature=0.6, top_k=3, min_p=0.1)
    if sampler == "timeline":
        other = replace(other, bright=0.9, wander=3.0)
    changed = columns_of(
        AT_ONCE, remembering, config, 250, settings=lambda at: other if at >= column else config
    )
    before, after = (columns_of(AT_ONCE, remembering, one, 250) for one in (config, other))
    assert torch.equal(changed[:, :column], before[:, :column])
    group = GROUP * remembering.grid[1]  # chunks are drawn in groups
    assert not torch.equal(changed[:, column + group :], before[:, column + group :])
    assert torch.equal(changed, after) == (column == 0)
