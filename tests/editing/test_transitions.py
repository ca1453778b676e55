import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, Region, fill, generate, load_model, morph, redraw
from distill_prior_gen.demo import demo_model
from distill_prior_gen.editing.code_maps import code_map, codes_on_grid, map_start, take_of_sound
from distill_prior_gen.editing.transitions import blend_codes
from tests.helpers.models import add_timeline, write_model

RATE = 8000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("timeline") / "small.distill")
    return load_model(add_timeline(path), "cpu")


@pytest.fixture(scope="module", params=["timeline", "continue", "independent"])
def takes(request, model):
    config = GenerationConfig(duration=2.05, seed=1, sampler=request.param, quality="fast")
    other = dataclasses.replace(config, seed=2, duration=1.6)
    return generate(model, config), generate(model, other)


@pytest.mark.parametrize("duration", [0.1, 0.77, 2.0])
def test_a_gap_is_filled_and_both_takes_stay(model, takes, duration):
    first, second = takes
    filled = fill(model, first, second, duration, GenerationConfig(seed=3))
    gap = round(duration * RATE)
    assert len(filled.audio) == len(first.audio) + gap + len(second.audio)
    end = len(first.audio) - RATE // 100  # the fade at the end
    scale = filled.gain / max(first.gain, second.gain)
    np.testing.assert_allclose(filled.audio[:end], first.audio[:end] * scale, atol=2e-6)
    begin = RATE * 2 // 1000
    tail = slice(len(first.audio) + gap + begin, None)
    np.testing.assert_allclose(filled.audio[tail], second.audio[begin:] * scale, atol=2e-6)
    middle = filled.audio[len(first.audio) : len(first.audio) + gap]
    assert np.abs(middle).max() > 0.001
    again = fill(model, first, second, duration, GenerationConfig(seed=3))
    assert np.array_equal(again.audio, filled.audio)
    redrawn = redraw(model, filled, [Region(0.5, filled.duration - 0.5)])
    assert len(redrawn.edits) == 2


def test_recordings_of_different_levels_are_led_over(model):
    generator = np.random.default_rng(0)
    quiet, loud = (generator.uniform(-peak, peak, 12_000) for peak in (0.1, 0.9))
    first, second = (take_of_sound(model, each, "x.wav") for each in (quiet, loud))
    filled = fill(model, first, second, 1.0, GenerationConfig(seed=1))
    np.testing.assert_allclose(
        filled.audio[:11_000], quiet[:11_000] * filled.gain / second.gain, atol=2e-6
    )
    np.testing.assert_allclose(
        filled.audio[-11_000:], loud[-11_000:] * filled.gain / second.gain, atol=2e-6
    )


@pytest.mark.parametrize("levels", [None, (0,), (1,)])
def test_a_morph_begins_as_the_first_take_and_ends_as_the_second(model, takes, levels):
    first, second = takes
    columns, start = 13, map_start(first)  # those of the second take
    gain = max(first.gain, second.gain)
    old, new = (codes_on_grid(model, take, start * 64, gain) for take in takes)
    chosen = [0, 1] if levels is None else list(levels)
    for amount, expected in ((0.0, old), (1.0, new)):
        codes = morph(model, first, second, amount, levels).edits[0].codes
        assert codes[:, :columns, chosen].equal(expected[:, :columns, chosen])
    course = morph(model, first, second, (0.0, 1.0), levels)
    heard = -(-len(second.audio) // 1024) + start // 16
    codes = course.edits[0].codes
    assert codes[:, 0].equal(old[:, 0])
    assert codes[:, heard - 1, chosen].equal(new[:, heard - 1, chosen])
    assert len(course.audio) == len(second.audio)
    same = morph(model, first, second, 0.0)
    scale = same.gain / gain
    np.testing.assert_allclose(same.audio, first.audio[: len(same.audio)] * scale, atol=1e-6)


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_morph_is_as_loud_as_both_takes(amount):
    """Takes whose levels differ by 12 dB; a column of the demo model lasts 8192 samples."""
    model = load_model(demo_model(), "cpu")
    sounds = [generate(model, GenerationConfig(duration=3, seed=seed)).audio for seed in (1, 2)]
    sounds[1] = sounds[1] / 4
    takes = [take_of_sound(model, sound, "x.wav") for sound in sounds]
    morphed = morph(model, takes[0], takes[1], amount).audio
    powers = [
        np.square(sound[: 17 * 8192].reshape(-1, 8192)).mean(axis=1) for sound in (*sounds, morphed)
    ]
    loud = 10 * np.log10(np.array(powers) + 1e-9)
    expected = (1 - amount) * loud[0] + amount * loud[1]
    audible = loud.min(axis=0) > -60
    assert audible.sum() > 8
    assert np.median(np.abs(loud[2] - expected)[audible]) < 1.5


@settings(max_examples=30)
@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_blended_codes_are_nearer_to_the_mix_than_either_take(model, share, seed):
    generator = torch.Generator().manual_seed(seed)
    old, new = (torch.randint(16, (2, 30, 2), generator=generator) for _ in range(2))
    blended = blend_codes(model, old, new, torch.full((30,), share), [0, 1])
    vectors = [
        model.vqvae.codes_to_embeddings(codes.flatten(0, 1)[None], (2, 30))[0]
        for codes in (old, new, blended)
    ]
    mix = torch.lerp(vectors[0], vectors[1], share)
    distances = [float((vector - mix).norm(dim=0).mean()) for vector in vectors]
    assert distances[2] <= 1.02 * min(distances)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, a, b: fill(m, a, b, 0.0), "duration must be"),
        (lambda m, a, b: fill(m, a, b, 31.0), "duration must be"),
        (lambda m, a, b: morph(m, a, b, 1.5), "amount must be"),
        (lambda m, a, b: morph(m, a, b, (0.0, float("nan"))), "amount must be"),
        (lambda m, a, b: morph(m, a, b, 0.5, (2,)), "levels must be"),
    ],
)
def test_what_makes_no_sense_is_refused(model, takes, call, message):
    with pytest.raises(ValueError, match=message):
        call(model, *takes)


def test_loops_have_no_end(model, takes):
    loop = generate(model, GenerationConfig(duration=2, loop=True, seed=1, quality="fast"))
    for call in (fill, morph):
        with pytest.raises(ValueError, match="a loop has no end"):
            call(model, takes[0], loop)


def test_a_second_take_that_is_shorter_than_the_map_is_enough(model, takes):
    short = take_of_sound(model, np.random.default_rng(0).uniform(-1, 1, 900), "short.wav")
    assert len(morph(model, takes[0], short).audio) == 900
    assert fill(model, short, short, 0.2).duration == pytest.approx((1800 + 1600) / RATE)
    assert code_map(model, short)[1].shape[1] == 2
