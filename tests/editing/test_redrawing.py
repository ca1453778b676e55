from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, hookimpl
from distill_prior_gen.config import no_progress
from distill_prior_gen.editing import redrawing
from distill_prior_gen.editing.code_maps import code_map
from distill_prior_gen.editing.redrawing import redraw_codes
from tests.helpers.plugins import registered


def random_map(model, columns=20, seed=0):
    shape = model.grid[0], columns, model.num_quantizers
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.codebook_size, shape, generator=generator)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    mask=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 19), st.integers(0, 1)), min_size=1),
    seed=st.integers(0, 2**40),
)
@pytest.mark.parametrize("sampler", ["timeline", "continue", "independent"])
def test_codes_outside_of_the_mask_stay(remembering, sampler, mask, seed):
    codes = random_map(remembering)
    before = codes.clone()
    drawn_again = torch.zeros_like(codes, dtype=torch.bool)
    drawn_again[tuple(torch.tensor(mask).T)] = True
    config = GenerationConfig(seed=seed, sampler=sampler)
    drawn = redraw_codes(remembering, codes, drawn_again, config, no_progress)
    assert codes.equal(before)
    assert drawn[~drawn_again].equal(codes[~drawn_again])
    assert ((drawn >= 0) & (drawn < remembering.codebook_size)).all()
    assert redraw_codes(remembering, codes, drawn_again, config, no_progress).equal(drawn)


def test_candidates_are_chosen_by_how_likely_they_make_what_follows(remembering, monkeypatch):
    codes = random_map(remembering, columns=8)
    mask = torch.zeros_like(codes, dtype=torch.bool)
    mask[:, 3] = True
    network, seen = remembering.timeline, []
    likely = redrawing._Drawing._log_probability

    def record(self, maps, begin, start):
        fits = likely(self, maps, begin, start)
        seen.append((maps, fits))
        return fits

    monkeypatch.setattr(redrawing._Drawing, "_log_probability", record)
    chosen = [
        redraw_codes(
            remembering, codes, mask, GenerationConfig(seed=seed, sampler="timeline"), no_progress
        )[:, 3]
        for seed in range(40)
    ]
    # Independently: the network's own loss of the columns after the gap.
    for maps, fits in seen[:3]:
        tokens = maps.transpose(1, 2).flatten(2)
        with torch.no_grad():
            changed = torch.zeros(tokens.shape[:2], dtype=torch.int64)
            bins = torch.full((*changed.shape, 4), 10)
            condition = network.condition(changed, torch.full_like(changed, 4), bins)
            memory = network.remember(network.embed(tokens, condition))
            for number in range(3):
                tokens_of, condition_of = tokens[number], condition[number]
                logits = network.predict(memory[number, :-1], condition_of, tokens_of)
                loss = torch.nn.functional.cross_entropy(
                    logits[4:].flatten(0, 1), tokens_of[4:].flatten(), reduction="sum"
                )
                assert fits[number] == pytest.approx(-float(loss), abs=1e-2)
    # Each candidate is chosen as often as its share of the likelihood says.
    fits_of_chosen, expected, variance = 0.0, 0.0, 0.0
    for column, (maps, fits) in zip(chosen, seen, strict=True):
        number = next(n for n, candidate in enumerate(maps) if candidate[:, 3].equal(column))
        share = np.exp(fits - fits.max())
        share /= share.sum()
        fits_of_chosen += fits[number]
        expected += (share * fits).sum()
        variance += (share * fits**2).sum() - (share * fits).sum() ** 2
    assert abs(fits_of_chosen - expected) < 4 * variance**0.5
    assert expected > sum(fits.mean() for _, fits in seen)


@pytest.mark.parametrize("sampler", ["timeline", "continue"])
def test_progress_rises(remembering, sampler):
    codes, shares = random_map(remembering, columns=30), []
    mask = torch.zeros_like(codes, dtype=torch.bool)
    mask[:, 2:14] = mask[:, 20:24] = True
    config = GenerationConfig(seed=0, sampler=sampler)
    redraw_codes(remembering, codes, mask, config, lambda share, text: shares.append(share))
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1
    assert 0.8 < shares[-1] <= 1


@pytest.mark.parametrize("whole", [False, True])
def test_samplers_of_plugins_redraw_models_without_a_timeline_prior(model, whole):
    def draw_noise(model, config, chunks, progress):
        codes = [
            torch.from_numpy(chunk.generator.integers(0, model.codebook_size, chunk.fixed.shape))
            for chunk in chunks
        ]
        fixed = torch.stack([chunk.fixed for chunk in chunks])
        return torch.stack(codes).where(fixed < 0, fixed)

    class Plugin:
        @hookimpl
        def distill_register_prior_samplers(self, register):
            register("noise", draw_noise, continues=True, whole=whole)

    codes = random_map(model)
    mask = torch.zeros_like(codes, dtype=torch.bool)
    mask[:, 5:9] = True
    config = GenerationConfig(seed=0, sampler="noise")
    with registered(Plugin()):
        drawn = redraw_codes(model, codes, mask, config, no_progress)
    assert drawn[~mask].equal(codes[~mask])
    assert (drawn[mask] != codes[mask]).double().mean() > 0.5


def test_the_step_of_the_level_at_a_border_is_that_of_what_is_heard(demo):
    """Ten columns of one take and ten of another: the levels of both are known."""
    takes = [
        generate(demo, GenerationConfig(duration=4, seed=seed, quality="fast")) for seed in (1, 2)
    ]
    maps = [code_map(demo, take)[1][:, 5:15] for take in takes]
    joined = torch.cat(maps, dim=1)
    power = demo.decode_map(joined).expm1().sum(dim=0).double()
    level = 10 * (power + 1e-2).log10()
    expected = level[152:160].mean() - level[144:152].mean()
    (steps,) = redrawing.level_steps(demo, joined[None], [10])
    assert steps[0] == pytest.approx(float(expected), abs=0.01)
    assert redrawing.level_steps(demo, joined[None], []).shape == (1, 0)


@pytest.mark.slow
def test_levels_step_less_where_candidates_with_steps_are_chosen_seldom(demo, monkeypatch):
    config = GenerationConfig(duration=6, quality="fast")
    sizes: dict[float, list[float]] = {}
    for seed in range(8):
        take = generate(demo, replace(config, seed=seed))
        codes = code_map(demo, take)[1]
        mask = torch.zeros_like(codes, dtype=torch.bool)
        mask[:, 15:20] = True
        settings = replace(config, seed=seed + 100, sampler="timeline")
        for deviation in (1.5, 1e9):
            monkeypatch.setattr(redrawing, "LEVEL_STEP_DB", deviation)
            drawn = redraw_codes(demo, codes, mask, settings, no_progress)
            steps = redrawing.level_steps(demo, drawn[None], [15, 20])
            sizes.setdefault(deviation, []).append(float(np.abs(steps).mean()))
    assert np.mean(sizes[1.5]) < 0.9 * np.mean(sizes[1e9])
