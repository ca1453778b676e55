"""Takes that go on without end."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_prior_gen import GenerationConfig, Region, decode, generate, redraw
from distill_prior_gen.editing.code_maps import MARGIN_COLUMNS, code_map, take_of_sound
from distill_prior_gen.endless_sound import MARGIN_WINDOWS, PIECE_S
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.playing_on import LEAD_COLUMNS, SPLICE_S, play_on
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.timeline import sample_timeline
from distill_prior_gen.ui.playing import Playing
from distill_prior_gen.ui.take_maker import new_take

SAMPLERS = pytest.mark.parametrize("sampler", ["timeline", "continue"])


@pytest.mark.parametrize("seconds", [1, 12])
@SAMPLERS
def test_a_take_goes_on_as_the_longer_take_does(remembering, sampler, seconds):
    """What it begins with is the take itself."""
    config = GenerationConfig(seed=1, sampler=sampler, duration=seconds)
    take = generate(remembering, config)
    start, pieces = play_on(remembering, take)
    assert (start > 0) == (seconds > 10)
    samples = np.concatenate(list(itertools.islice(pieces, 5)))
    longer = generate(remembering, replace(config, duration=25))
    unscaled = longer.audio[start : start + len(samples)] / longer.gain
    gain = np.abs(samples).max() / np.abs(unscaled).max()
    assert np.corrcoef(samples, unscaled)[0, 1] > 0.99
    assert gain <= take.gain + 0.01
    if start:
        beginning = np.abs(samples[:100] - take.audio[start : start + 100])
        assert beginning.max() < 0.02 * np.abs(take.audio).max()


def test_a_take_that_goes_on_keeps_its_own_settings_to_its_end(remembering):
    config = GenerationConfig(seed=1, sampler="timeline", duration=12)
    take = generate(remembering, config)
    other = replace(config, temperature=0.3, vocoder="torchaudio")
    start, pieces = play_on(remembering, take, lambda: other)
    unchanged = play_on(remembering, take)[1]
    assert np.array_equal(next(pieces), next(unchanged))
    samples = [np.concatenate(list(itertools.islice(it, 5))) for it in (pieces, unchanged)]
    second = remembering.sample_rate
    margin = MARGIN_WINDOWS * remembering.spectrogram.n_fft
    same = len(take.audio) - start - round(second * PIECE_S) - margin
    assert same > second
    assert not np.array_equal(samples[0][second * 6 :], samples[1][second * 6 :])
    assert np.corrcoef(samples[0][:same], samples[1][:same])[0, 1] > 0.999


@pytest.mark.parametrize("settings", [{"sampler": "independent"}, {"loop": True}])
def test_takes_that_cannot_go_on_are_refused(remembering, settings):
    take = generate(remembering, GenerationConfig(duration=2, quality="fast", **settings))
    with pytest.raises(ValueError, match=r"independent chunks|without end"):
        play_on(remembering, take)


def redrawn(model, config):
    return redraw(model, generate(model, config), [Region(0.5, 1.5)], config)


def decoded(model, config):
    return decode(model, code_map(model, generate(model, config))[1], config)


def played_on(model, config):
    """As the page keeps it."""
    take = generate(model, config)
    playing = Playing(model, new_take(1, take, model, "demo"), take.config)
    for _ in range(3):
        playing.draw()
    return playing.heard(7 * model.sample_rate - 321, "take 1 played on")


def from_a_recording(model, config):
    return take_of_sound(model, generate(model, config).audio, "a.wav", config)


CHANGES = pytest.mark.parametrize("change", [redrawn, decoded, played_on, from_a_recording])


@CHANGES
def test_a_changed_take_goes_on_from_its_codes(remembering, change):
    """Expected are the codes that the sampler draws after fixed ones, and their decoded sound."""
    config = GenerationConfig(seed=4, sampler="timeline", duration=3)
    take = change(remembering, config)
    known = code_map(remembering, take)[1]
    columns: list[torch.Tensor] = []
    start, pieces = play_on(remembering, take, columns=columns)
    samples = np.concatenate(list(itertools.islice(pieces, 4)))
    codes = torch.cat(columns, dim=1)
    hop = remembering.spectrogram.hop_length
    given = len(take.audio) // hop // STRIDE - MARGIN_COLUMNS
    assert codes[:, :given].equal(known[:, :given])

    passed = max(0, given - max(remembering.valid_columns, remembering.timeline.memory))
    fixed = codes[:, passed:].clone()
    fixed[:, given - passed :] = UNKNOWN
    generator = random_generator(take.seed, Purpose.CODES)
    chunk = Chunk(generator, fixed.flatten(0, 1), (1.0,) * remembering.num_quantizers)
    drawn = sample_timeline(remembering, take.config, [chunk], lambda *_: None)[0]
    assert drawn.unflatten(0, (remembering.grid[0], -1)).equal(codes[:, passed:])

    border = ((given - LEAD_COLUMNS) * STRIDE) * hop
    scale = pieces.gain / take.gain
    assert np.allclose(samples[: border - start], scale * take.audio[start:border], atol=1e-6)
    expected = decode(remembering, codes, replace(config, seed=take.seed))
    later = border + round(remembering.sample_rate * SPLICE_S)
    both = samples[later - start :], expected.audio[later : start + len(samples)]
    assert np.corrcoef(*both)[0, 1] > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "change"), [("timeline", redrawn), ("continue", played_on)])
def test_the_place_where_a_changed_take_goes_on_is_like_the_rest(demo, sampler, change):
    hop = demo.spectrogram.hop_length
    near: list[float] = []
    elsewhere: list[float] = []
    for seed in range(2):
        config = GenerationConfig(seed=seed, sampler=sampler, duration=3, quality="fast")
        take = change(demo, config)
        start, pieces = play_on(demo, take)
        samples = np.concatenate(list(itertools.islice(pieces, 2)))
        column = len(take.audio) // hop // STRIDE - MARGIN_COLUMNS - LEAD_COLUMNS
        place = column * STRIDE - start // hop
        mel = demo.spectrogram.log_mel(torch.from_numpy(samples))
        change_of_mel = mel.diff(dim=1).abs().mean(dim=0)
        near.append(change_of_mel[place - STRIDE // 2 :][:STRIDE].max())
        elsewhere.extend(part.max() for part in change_of_mel.split(STRIDE))
    assert np.mean(near) < 1.5 * np.mean(elsewhere)


def test_a_take_that_was_never_drawn_may_be_shorter_than_a_column(remembering):
    take = take_of_sound(remembering, np.full(100, 0.1, np.float32), "click.wav")
    start, pieces = play_on(remembering, take)
    assert start == 0
    assert len(next(pieces)) == round(PIECE_S * remembering.sample_rate)
