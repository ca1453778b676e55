import dataclasses

import numpy as np
import pytest
import torch

from distill_prior_gen import GenerationConfig, Region, generate, redraw, swap
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import no_progress
from distill_prior_gen.editing.code_maps import take_of_sound
from distill_prior_gen.editing.regions import find_codes
from distill_prior_gen.editing.sections import apply_edit
from distill_prior_gen.editing.splicing import splice
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout

SPECTROGRAM = SpectrogramSettings(sample_rate=16_000, n_fft=1024, hop_length=256, n_mels=64)


@pytest.fixture(params=["timeline", "continue"])
def take(request, remembering):
    config = GenerationConfig(duration=4, seed=1, sampler=request.param, quality="fast")
    return generate(remembering, config)


def codes_of(model, take, *regions):
    assert isinstance(take.layout, ContinuousLayout)
    return find_codes(model, take, take.layout, regions)


def code_map(model, take):
    return take.layout.code_map(take.codes.unflatten(1, (model.grid[0], -1)))


def test_what_is_outside_of_a_region_stays(remembering, take):
    model, regions = remembering, [Region(1.5, 2.0)]
    changed = redraw(model, take, regions, GenerationConfig(seed=5))
    mask = codes_of(model, take, *regions)
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
    assert [edit.settings["regions"][0]["start"] for edit in changed.edits] == [1.0, 2.5]
    again = take
    for edit in changed.edits:
        again = apply_edit(remembering, again, edit, no_progress)
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
        ([], "there is no region to edit"),
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
        ((0, 1, None, None, ("rhythm", 4)), "keep must be one of periodic, onsets"),
        ((0, 1, None, None, ("periodic", 1)), "keep periodic must be"),
        ((0, 1, None, None, ("onsets", 0)), "keep onsets must be"),
    ],
)
def test_regions_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Region(*arguments)


def test_every_nth_column_is_kept(remembering, take):
    region = Region(0.3, 4, levels=(0,), keep=("periodic", 4))
    mask = codes_of(remembering, take, region)
    columns = mask.any(dim=2).any(dim=0).nonzero().flatten().tolist()
    assert columns == [column for column in range(2, 32) if column % 4]
    before, after = take, redraw(remembering, take, [region], GenerationConfig(seed=3))
    kept = code_map(remembering, before)[:, ::4]
    assert code_map(remembering, after)[:, ::4].equal(kept)


def test_what_sounds_at_onsets_is_kept(remembering):
    """Three clicks over faint noise, in columns 4, 11 and 20 of 0.128 s each."""
    generator = np.random.default_rng(0)
    sound = generator.normal(0, 0.002, 4 * 8000).astype(np.float32)
    for column in (4, 11, 20):
        start = round((column + 0.4) * 0.128 * 8000)
        sound[start : start + 300] += generator.normal(0, 0.3, 300).astype(np.float32)
    take = take_of_sound(remembering, sound, "clicks.wav")
    mask = codes_of(remembering, take, Region(0, 4, keep=("onsets", 30)))
    kept = (~mask.any(dim=2).any(dim=0)).nonzero().flatten().tolist()
    assert set(kept) - {0, 32, 33} == {4, 11, 20}  # noise begins in column 0
    redrawn = redraw(remembering, take, [Region(0, 4, keep=("onsets", 30))])
    assert code_map(remembering, redrawn)[:, kept].equal(code_map(remembering, take)[:, kept])


def test_a_loop_is_redrawn_across_its_end(remembering):
    config = GenerationConfig(duration=4.1, loop=True, seed=2, quality="fast")
    loop = generate(remembering, config)
    regions = [Region(0, 0.3), Region(3.8, 4.1)]
    changed = redraw(remembering, loop, regions, GenerationConfig(seed=1))
    mask = codes_of(remembering, loop, *regions)
    before, after = code_map(remembering, loop), code_map(remembering, changed)
    assert after[~mask].equal(before[~mask])
    assert not after.equal(before)
    assert len(changed.edits[0].spans) == 1  # one span over the end
    column = loop.layout.column_samples
    middle = slice(round(5 * column), round(27 * column))
    old, new = loop.audio / loop.gain, changed.audio / changed.gain
    np.testing.assert_allclose(new[middle], old[middle], atol=1e-6)
    seam = np.abs(np.diff(np.concatenate([new[-2:], new[:2]]))).max()
    assert seam <= 1.1 * np.abs(np.diff(new)).max()
    whole = redraw(remembering, loop, [Region(0, 4.1)], GenerationConfig(seed=1))
    assert len(whole.audio) == len(loop.audio)


def test_a_take_of_independent_chunks_gets_the_codes_of_its_sound(remembering):
    config = GenerationConfig(duration=3, sampler="independent", seed=1, quality="fast")
    take = generate(remembering, config)
    changed = redraw(remembering, take, [Region(1, 1.5)], GenerationConfig(seed=2))
    old, new = take.audio / take.gain, changed.audio / changed.gain
    np.testing.assert_allclose(new[:5000], old[:5000], atol=1e-6)
    np.testing.assert_allclose(new[16_000:], old[16_000:], atol=1e-6)
    assert np.abs(new - old).max() > 0.01


def test_a_region_is_copied_from_another_take(remembering, take):
    other = generate(remembering, dataclasses.replace(take.config, seed=9))
    regions = [Region(1, 2, band=(0, 300))]
    swapped = swap(remembering, take, other, regions)
    mask = codes_of(remembering, take, *regions)
    codes = [code_map(remembering, each) for each in (take, other, swapped)]
    assert codes[2].equal(codes[1].where(mask, codes[0]))
    short = generate(remembering, dataclasses.replace(take.config, duration=1))
    with pytest.raises(ValueError, match="the other take lasts 1 s"):
        swap(remembering, take, short, [Region(3, 4)])


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
