import copy
import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, generate_takes, load_model
from distill_prior_gen.config import no_progress
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.robust_draw import RobustDraw
from distill_prior_gen.sampling.timeline import _Takes, sample_timeline
from tests.helpers.filters import kept_codes
from tests.helpers.models import TINY, add_timeline, write_model


def code_map(model, take):
    """Codes of a take, ``[row, column, level]``."""
    return take.codes[0].unflatten(0, (model.grid[0], -1))


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [(1.0, 0, 0.0), (0.8, 5, 0.9)])
def test_codes_and_recordings_have_the_distribution_that_the_network_gives(
    tmp_path, temperature, top_k, top_p
):
    """Takes of one column with two tokens, and one of four recordings each."""
    path = write_model(
        tmp_path / "two.distill", spectrogram=TINY, chunk_duration=0.1, codebook_size=8
    )
    model = load_model(add_timeline(path, recordings=4, sharpness=4.0), "cpu")
    draws, network = 20_000, model.timeline
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    unknown = torch.full((1, 2), UNKNOWN)
    chunks = [
        Chunk(random_generator(seed, Purpose.CODES, 0), unknown, (1.0, 1.0))
        for seed in range(draws)
    ]
    pairs = Counter(map(tuple, sample_timeline(model, config, chunks, no_progress)[:, 0].tolist()))
    expected = np.zeros((8, 8))
    for recording in range(4):
        with torch.no_grad():
            numbers = torch.tensor([1]), torch.tensor([recording]), torch.full((1, 4), 10)
            condition = network.condition(*numbers)
            memory = network.remember(torch.zeros(1, 0, condition.shape[1]))[:, 0]
            first = torch.arange(8)[:, None].expand(8, 2)
            logits = network.predict(memory.expand(8, -1), condition.expand(8, -1), first)
        rows = logits.double().numpy()
        for a, share in probabilities(rows[0, 0], temperature, top_k, top_p).items():
            for b, other in probabilities(rows[a, 1], temperature, top_k, top_p).items():
                expected[a, b] += draws * share * other / 4
    assert all(expected[pair] > 0 for pair in pairs)
    tested = expected >= 5
    seen = np.array([[pairs[a, b] for b in range(8)] for a in range(8)])
    statistic = ((seen - expected) ** 2 / expected.clip(1e-9))[tested].sum()
    # A chi-squared variable with as many degrees of freedom as cells; 5 standard deviations.
    assert tested.sum() >= 8
    assert statistic < tested.sum() + 5 * (2 * tested.sum()) ** 0.5


def probabilities(row, temperature, top_k, top_p):
    kept = sorted(kept_codes(row, temperature, top_k, top_p))
    weights = np.exp(row[kept] / temperature)
    return dict(zip(kept, weights / weights.sum(), strict=True))


@pytest.mark.slow
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**40),
    takes=st.integers(2, 5),
    temperature=st.floats(0.1, 2),
    top_p=st.floats(0, 1),
    wander=st.floats(0, 10),
    bright=st.none() | st.floats(0, 1),
    loop=st.booleans(),
)
def test_a_take_is_the_same_in_every_batch(remembering, seed, takes, **settings):
    config = GenerationConfig(seed=seed, duration=2, quality="fast", **settings)
    together = list(generate_takes(remembering, config, takes))
    alone = generate(remembering, dataclasses.replace(config, seed=seed + takes - 1))
    assert together[-1].codes.equal(alone.codes)
    assert np.array_equal(together[-1].audio, alone.audio)


def test_takes_of_different_seeds_differ(remembering):
    takes = list(generate_takes(remembering, GenerationConfig(seed=0, duration=2), 3))
    assert len({take.codes.numpy().tobytes() for take in takes}) == 3


def test_draws_from_float64_logits_are_the_same(remembering, monkeypatch):
    config = GenerationConfig(seed=1, duration=3, wander=3, quality="fast")
    expected = generate(remembering, config).codes

    class Exact(RobustDraw):
        def __call__(self, logits, uniform, temperature, level, exact_logits):
            rows = np.stack([exact_logits(lane).numpy() for lane in range(len(logits))])
            np.testing.assert_allclose(rows, logits, rtol=0, atol=4e-6)
            return super().__call__(rows, uniform, temperature, level, exact_logits)

    monkeypatch.setattr("distill_prior_gen.sampling.timeline.RobustDraw", Exact)
    assert generate(remembering, config).codes.equal(expected)


@pytest.mark.parametrize("settings", [{}, {"temperature_end": 1.0}, {"wander": 0.0}])
def test_a_longer_take_begins_like_a_shorter_one(remembering, settings):
    short, long = (
        code_map(
            remembering, generate(remembering, GenerationConfig(seed=5, duration=d, **settings))
        )
        for d in (2, 6)
    )
    assert long[:, : short.shape[1]].equal(short)


def test_the_network_is_the_default_and_the_sidecar_names_it(remembering, model):
    assert generate(remembering, GenerationConfig(duration=1)).config.sampler == "timeline"
    assert generate(model, GenerationConfig(duration=1)).config.sampler == "continue"
    with pytest.raises(ValueError, match=r"needs a timeline prior; .* has none; train one with"):
        generate(model, GenerationConfig(sampler="timeline"))


def choose_recordings(model, columns=60, takes=200, probability=0.5, profile=None, **settings):
    """Recordings and changes of takes in which each column changes with a given probability."""
    network = copy.deepcopy(model.timeline)
    network.change.weight.zero_()
    network.change.bias.fill_(math.log(probability / (1 - probability)))
    if profile is not None:
        network.profile.copy_(profile)
    unknown = torch.full((model.grid[0] * columns, model.num_quantizers), UNKNOWN)
    chunks = [
        Chunk(random_generator(seed, Purpose.CODES, 0), unknown, (1.0, 1.0))
        for seed in range(takes)
    ]
    drawn = _Takes(model, network, GenerationConfig(**settings), chunks)
    for column in range(columns):
        drawn.choose_recordings(column)
    return drawn


def is_share(outcomes, expected):
    """Whether outcomes are True as often as expected, within five standard deviations."""
    deviation = math.sqrt(expected * (1 - expected) / outcomes.size)
    return abs(outcomes.mean() - expected) <= 5 * deviation + 1e-9


@pytest.mark.parametrize(("wander", "expected"), [(0.0, 0.0), (0.25, 0.2), (1.0, 0.5), (4.0, 0.8)])
def test_wander_sets_how_often_the_recording_changes(remembering, wander, expected):
    """With odds of 1 to 1 that a column begins a recording, wander sets the odds themselves."""
    takes = choose_recordings(remembering, wander=wander)
    assert takes.changed[:, 0].all()
    assert is_share(takes.changed[:, 1:], expected)
    for recording in range(4):
        assert is_share(takes.recording[:, 0] == recording, 0.25)


def test_recordings_with_what_was_asked_for_are_chosen_by_the_rule_of_bayes(remembering):
    profile = torch.full((4, 4, 10), 0.1)
    bright = torch.tensor([0.02, 0.08, 0.2, 0.5]).half().float()
    profile[:, 1, 9] = bright
    takes = choose_recordings(remembering, probability=0.1, profile=profile, bright=0.97)
    likelihood = bright.double().numpy()
    for recording in range(4):
        expected = likelihood[recording] / likelihood.sum()
        assert is_share(takes.recording[:, 0] == recording, expected)
        before = takes.recording[:, :-1] == recording
        change, stay = 0.1 * likelihood.mean(), 0.9 * likelihood[recording]
        assert is_share(takes.changed[:, 1:][before], change / (change + stay))


@pytest.mark.parametrize("share", [0.0, -1.0, 60_000.0])
def test_a_profile_that_makes_no_sense_still_gives_takes(remembering, share):
    profile = torch.full((4, 4, 10), share)
    takes = choose_recordings(remembering, takes=20, profile=profile, loud=0.5, dense=1)
    assert set(takes.recording.flatten().tolist()) == {0, 1, 2, 3}


def test_a_course_asks_for_one_bin_after_the_other(remembering):
    takes = choose_recordings(remembering, columns=40, takes=1, dense=(0.0, 1.0), loud=0.5)
    assert (takes.bins[:, :3] == [5, 10, 10]).all()  # loud in the middle, the next two open
    assert takes.bins[:, 3].tolist() == sorted(takes.bins[:, 3].tolist())
    assert Counter(takes.bins[:, 3].tolist()) == dict.fromkeys(range(10), 4)


def test_a_take_begins_like_the_recording_that_was_named(tmp_path):
    names = ["a/Bell.wav", "Rain.flac", "drum.wav", "bell.ogg"]
    path = write_model(tmp_path / "small.distill")
    model = load_model(add_timeline(path, timeline_metadata={"recordings": names}), "cpu")
    assert model.recordings == tuple(names)
    for name, number in {"rain": 1, "bell": 0, "Bell.ogg": 3, "A/BELL.WAV": 0}.items():
        assert choose_recordings(model, takes=3, like=name).recording[:, 0].tolist() == [number] * 3
    with pytest.raises(ValueError, match=r"knows no recording 'snow'; .* are a/Bell.wav, Rain"):
        generate(model, GenerationConfig(like="snow", duration=1))


@pytest.mark.parametrize("field", [{"like": "x"}, {"loud": 0.5}, {"dense": (0, 1)}])
def test_what_only_the_timeline_can_do_is_refused_without_it(model, remembering, field):
    name = next(iter(field))
    with pytest.raises(ValueError, match=rf"{name} needs a timeline prior; .* train-timeline"):
        generate(model, GenerationConfig(**field))
    with pytest.raises(ValueError, match=rf"{name} needs the sampler 'timeline', not 'continue'"):
        generate(remembering, GenerationConfig(sampler="continue", **field))


@pytest.fixture
def sound(tmp_path, remembering):
    rate = remembering.sample_rate
    time = np.arange(3 * rate) / rate
    path = tmp_path / "sound.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * (200 + 100 * time) * time), rate)
    return path


def test_a_prompt_is_remembered_as_far_as_the_memory_reaches(remembering, sound):
    take = generate(remembering, GenerationConfig(prompt=str(sound), duration=2, seed=0))
    memory, valid = remembering.timeline.memory, remembering.valid_columns
    assert memory > valid
    assert take.prompt.codes.shape[1] == memory
    assert code_map(remembering, take)[:, :memory].equal(take.prompt.codes)
    # Only the last chunk of it is heard.
    hop = remembering.spectrogram.hop_length
    assert take.layout.starts[0] == -(memory - valid) * 16 * hop
    assert len(take.audio) == 2 * remembering.sample_rate


def test_the_recording_itself_is_heard_where_it_is_asked_for(remembering, sound):
    config = GenerationConfig(
        prompt=str(sound), prompt_crossfade=True, duration=2, seed=0, overlap=50
    )
    audio = generate(remembering, config).audio
    heard = remembering.valid_columns * 16 * remembering.spectrogram.hop_length
    samples, rate = soundfile.read(sound)
    samples = samples / np.abs(samples).max()
    fade, rise = round(0.05 * rate), round(0.002 * rate)
    expected = samples[-heard:][rise : heard - fade]
    assert np.corrcoef(audio[rise : heard - fade], expected)[0, 1] > 0.999


@pytest.mark.parametrize("vary", [0.0, 0.5, 1.0])
def test_a_prompt_is_varied(remembering, sound, vary):
    take = generate(remembering, GenerationConfig(prompt=str(sound), vary=vary, seed=0))
    kept = (code_map(remembering, take) == take.prompt.codes).all(dim=2).double().mean()
    assert kept >= 1 - vary - 0.05
    assert vary == 0.0 or kept < 1.0


def test_a_loop_leads_into_its_beginning(remembering):
    """The columns after the end take the place of the first ones."""
    config = GenerationConfig(seed=2, duration=4, loop=True)
    take = generate(remembering, config)
    assert isinstance(take.layout, ContinuousLayout)
    codes, columns = code_map(remembering, take), take.layout.columns
    more = codes.shape[1] - columns
    assert more == take.layout.loop_overlap == max(1, remembering.valid_columns // 2)
    heard = take.layout.code_map(codes[None])
    assert heard[:, :more].equal(codes[:, columns:])
    assert heard[:, more:].equal(codes[:, more:columns])
    assert len(take.audio) == 4 * remembering.sample_rate


def test_weights_that_are_not_finite_are_named(tmp_path):
    model = load_model(add_timeline(write_model(tmp_path / "a.distill")), "cpu")
    model.timeline.head.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="timeline prior of small gave logits"):
        generate(model, GenerationConfig(duration=1))
