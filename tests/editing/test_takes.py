import dataclasses

import numpy as np
import pytest
import torch

from distill_prior_gen import GenerationConfig, Region, generate, load_model, redraw
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.editing.splicing import splice
from distill_prior_gen.editing.takes import find_codes
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from tests.helpers.models import add_timeline, write_model

SPECTROGRAM = SpectrogramSettings(sample_rate=16_000, n_fft=1024, hop_length=256, n_mels=64)


@pytest.fixture(scope="module")
def remembering(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("timeline") / "small.distill")
    return load_model(add_timeline(path), "cpu")


@pytest.fixture(params=["timeline", "continue"])
def take(request, remembering):
    config = GenerationConfig(duration=4, seed=1, sampler=request.param, quality="fast")
    return generate(remembering, config)


def codes_of(model, take, *regions):
    assert isinstance(take.layout, ContinuousLayout)
    return find_codes(model, take.layout, regions)


def code_map(model, take):
    return take.layout.code_map(take.codes.unflatten(1, (model.grid[0], -1)))


def test_what_is_outside_of_a_region_stays(remembering, take):
    model, regions = remembering, [Region(1.5, 2.0)]
    changed = redraw(model, take, regions, GenerationConfig(seed=5))
    mask = find_codes(model, take.layout, regions)
    before, after = code_map(model, take), code_map(model, changed)
    assert after[~mask].equal(before[~mask])
    assert not after.equal(before)
    assert len(changed.audio) == len(take.audio)
    # Beyond the columns that are drawn, one column and half a window hear the change.
    column = 16 * model.spectrogram.hop_length
    reach = 2 * column + model.spectrogram.n_fft
    first, last = round(1.5 * 8000) - reach, round(2.0 * 8000) + reach
    old, new = take.audio / take.gain, changed.audio / changed.gain
    np.testing.assert_allclose(new[:first], old[:first], atol=1e-6)
    np.testing.assert_allclose(new[last:], old[last:], atol=1e-6)
    assert np.abs(new[first:last] - old[first:last]).max() > 0.01


def test_edits_follow_each_other_and_can_be_repeated(remembering, take):
    regions = [Region(1.0, 1.4), Region(2.5, 3.0, (0, 500), (0,))]
    changed = redraw(remembering, take, regions[:1], GenerationConfig(seed=5, temperature=1.5))
    changed = redraw(remembering, changed, regions[1:], GenerationConfig(seed=6))
    assert [edit.regions for edit in changed.edits] == [(regions[0],), (regions[1],)]
    again = take
    for edit in changed.edits:
        again = redraw(remembering, again, edit.regions, edit.config)
    assert np.array_equal(again.audio, changed.audio)
    assert again.codes.equal(changed.codes)


def test_a_region_is_the_columns_and_rows_that_it_touches(remembering):
    model = remembering  # 0.128 s a column, two rows
    take = generate(model, GenerationConfig(duration=2, seed=0, quality="fast"))
    mask = codes_of(model, take, Region(0.13, 0.38))
    assert mask.any(dim=2).any(dim=0).nonzero().flatten().tolist() == [1, 2]
    low = codes_of(model, take, Region(0, 2, band=(50, 200), levels=(1,)))
    assert low[0, :, 1][: round(2 / 0.128)].all()
    assert not low[1].any()
    assert not low[:, :, 0].any()


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([], "there is no region"),
        ([Region(1, 5)], "within the 4 s of the take, not end at 5 s"),
        ([Region(1, 2, levels=(2,))], "the model has levels 0 to 1, not 2"),
        ([Region(1, 2, band=(5000, 6000))], "no frequencies within"),
    ],
)
def test_regions_that_do_not_fit_are_refused(remembering, take, regions, message):
    with pytest.raises(ValueError, match=message):
        redraw(remembering, take, regions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 2), "start must be before end"),
        ((-1, 2), "start must be"),
        ((0, float("nan")), "end must be"),
        ((0, 1, (500, 100)), "band must rise, not go from 500 to 100 Hz"),
        ((0, 1, None, ()), "levels must name at least one"),
        ((0, 1, None, (1.5,)), "levels must be"),
    ],
)
def test_regions_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Region(*arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loop": True}, "a loop cannot be redrawn; make the take without 'loop'"),
        ({"sampler": "independent"}, "independent chunks cannot be redrawn; make it with another"),
    ],
)
def test_loops_and_independent_chunks_are_refused(remembering, settings, message):
    take = generate(remembering, GenerationConfig(duration=4, quality="fast", **settings))
    with pytest.raises(ValueError, match=message):
        redraw(remembering, take, [Region(1, 2)])


def test_a_prompt_of_the_take_is_not_needed_for_its_parts(remembering, take):
    config = dataclasses.replace(take.config, like=None, loop=True, seed=3)
    assert redraw(remembering, take, [Region(1, 2)], config).edits[0].config.loop is False


@pytest.mark.parametrize("phase", [0.0, 1.0, np.pi / 2, 2.5, np.pi])
def test_a_tone_goes_on_through_a_splice(phase):
    """The same tone with another phase, which would cancel in a crossfade."""
    time = np.arange(2 * 16_000) / 16_000
    old, new = (
        torch.from_numpy(np.sin(2 * np.pi * 440 * time + shift)).float() for shift in (0, phase)
    )
    spliced = splice(old, new, 12_000, 20_000, SPECTROGRAM)
    assert spliced[:12_000].equal(old[:12_000])
    assert spliced[20_000:].equal(old[20_000:])
    levels = spliced.unflatten(0, (-1, 400)).square().mean(dim=1).sqrt() * 2**0.5
    assert float(levels.min()) > 0.9
    assert float(levels.max()) < 1.1
    assert float(spliced.diff().abs().max()) < 1.1 * float(old.diff().abs().max())
