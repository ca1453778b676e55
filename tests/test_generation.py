import random
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, generate_takes, load_model
from distill_prior_gen.config import GENERATION_LIMITS, JOINS
from tests.helpers.models import write_model


@pytest.mark.slow
@settings(max_examples=12)
@given(
    duration=st.floats(1, 4),
    overlap=st.floats(0, 200),
    join=st.sampled_from(JOINS),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_take_has_the_length_that_was_asked_for(model, duration, overlap, join, seed):
    config = GenerationConfig(duration=duration, overlap=overlap, join=join, seed=seed)
    result = generate(model, config)
    assert result.audio.shape == (round(duration * model.sample_rate),)
    assert result.audio.dtype == np.float32
    assert np.isfinite(result.audio).all()
    assert np.abs(result.audio).max() <= 1
    assert result.config == replace(config, sampler="continue", vocoder="mel-griffin-lim")
    assert result.seed == seed


def test_the_result_carries_codes_and_mel(model):
    result = generate(model, GenerationConfig(duration=2, seed=0))
    height, width = model.grid
    assert result.codes.dtype == torch.int64
    assert result.codes.shape[1:] == (height * width, model.num_quantizers)
    hop = model.spectrogram.hop_length
    assert result.mel.shape == (model.spectrogram.n_mels, -(-2 * model.sample_rate // hop) + 1)
    assert result.mel.dtype == torch.float32
    first = model.decode(result.codes[:1])[0]
    inside = first.shape[-1] // 2
    torch.testing.assert_close(result.mel[:, :inside], first[:, :inside])


@pytest.mark.parametrize("join", JOINS)
def test_the_same_seed_gives_the_same_take(model, join):
    config = GenerationConfig(duration=1.5, seed=3, join=join)
    one, other = generate(model, config), generate(model, config)
    assert (one.audio == other.audio).all()
    different = generate(model, GenerationConfig(duration=1.5, seed=4, join=join))
    assert (one.audio != different.audio).any()


def test_a_longer_take_begins_with_the_same_chunks(model):
    short = generate(model, GenerationConfig(duration=1.2, seed=5))
    long = generate(model, GenerationConfig(duration=4, seed=5))
    assert long.codes[: len(short.codes)].equal(short.codes)


@pytest.mark.parametrize("join", JOINS)
def test_takes_of_one_call_are_the_takes_of_single_calls(model, join):
    config = GenerationConfig(duration=1.5, seed=8, join=join)
    together = list(generate_takes(model, config, 3))
    assert [take.seed for take in together] == [8, 9, 10]
    for take in together:
        alone = generate(model, take.config)
        assert take.codes.equal(alone.codes)
        assert take.audio == pytest.approx(alone.audio, abs=1e-5)


def test_a_seed_is_drawn_and_reported(model):
    first = generate(model, GenerationConfig(duration=1))
    assert first.seed == first.config.seed
    assert (generate(model, first.config).audio == first.audio).all()
    assert generate(model, GenerationConfig(duration=1)).seed != first.seed


@pytest.mark.slow
def test_a_take_that_would_clip_is_scaled_as_a_whole(tmp_path):
    path = write_model(tmp_path / "loud.distill")
    contents = torch.load(path, weights_only=True)
    bias = contents["model_state_dict"]["decoder.deconvs.12.bias"]
    bias += 12
    torch.save(contents, path)
    quiet = generate(load_model(write_model(tmp_path / "q.distill")), GenerationConfig(seed=0))
    loud = generate(load_model(path), GenerationConfig(seed=0))
    assert quiet.gain == 1
    assert loud.gain < 1
    assert np.abs(loud.audio).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(loud.audio).max() <= 1


def test_global_random_generators_are_left_alone(model):
    def state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state(legacy=False)["state"]["key"].tolist(),
            random.getstate(),
        )

    before = state()
    for join in JOINS:
        generate(model, GenerationConfig(duration=1, join=join))
    assert state() == before


def test_progress_counts_chunks_and_never_goes_back(model):
    seen = []
    config = GenerationConfig(duration=1.5, seed=0)
    result = generate(model, config, lambda share, text: seen.append((share, text)))
    shares = [share for share, text in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    chunks = len(result.codes)
    texts = list(dict.fromkeys(text for share, text in seen))
    assert texts[:chunks] == [f"Generating chunk {i + 1}/{chunks}..." for i in range(chunks)]


def test_an_unknown_vocoder_lists_those_there_are(model):
    with pytest.raises(ValueError, match=r"vocoder must be one of .*torchaudio.*'theremin'"):
        generate(model, GenerationConfig(vocoder="theremin"))


@pytest.mark.parametrize("field", GENERATION_LIMITS)
def test_numbers_outside_their_range_are_named(field):
    low, high = GENERATION_LIMITS[field]
    more: dict[str, Any] = {"prompt": "sound.wav"} if field == "vary" else {}
    for value in (low - 1, high + 1, "1", True, float("nan")):
        with pytest.raises(ValueError, match=rf"^{field} must be .*"):
            GenerationConfig(**more | {field: value})
    for value in (low, high):
        GenerationConfig(**more | {field: value})


def test_locked_defaults_and_ranges():
    config = GenerationConfig()
    assert (config.temperature, config.top_p, config.top_k, config.duration) == (1.0, 0.9, 0, 10.0)
    assert GENERATION_LIMITS["temperature"] == (0.1, 2.0)
    assert GENERATION_LIMITS["top_p"] == (0, 1)
    assert GenerationConfig().min_p == 0
    assert GENERATION_LIMITS["top_k"] == (0, 512)
    assert GENERATION_LIMITS["duration"][1] == 30
    assert (config.overlap, GENERATION_LIMITS["overlap"]) == (50.0, (0, 200))


def test_long_takes_have_to_be_allowed():
    with pytest.raises(ValueError, match=r"duration must be a number from 1 to 30, not 31"):
        GenerationConfig(duration=31)
    assert GenerationConfig(duration=31, allow_long=True).duration == 31
    with pytest.raises(ValueError, match="duration"):
        GenerationConfig(duration=float("inf"), allow_long=True)


def test_an_unknown_join_is_named():
    with pytest.raises(ValueError, match="join must be one of spectral, crossfade, not 'glue'"):
        GenerationConfig(join="glue")


def test_a_take_of_a_model_of_the_distill_app(tabla):
    model = load_model(tabla, "cpu")
    result = generate(model, GenerationConfig(duration=3, seed=1))
    assert len(result.audio) == 144_000
    level = np.sqrt(np.mean(result.audio**2))
    assert 0.002 < level < 0.5
    # The sound has the mel that was decoded: closer to it than to silence by far.
    mel = model.spectrogram.log_mel(torch.from_numpy(result.audio))
    frames = result.mel.shape[-1] - 1
    assert (mel[:, :frames] - result.mel[:, :frames]).abs().mean() < 0.4 * result.mel.mean()


def test_a_count_may_be_a_whole_number_of_numpy(model):
    config = GenerationConfig(duration=1, seed=0, quality="fast")
    count: Any = np.int64(2)
    assert len(list(generate_takes(model, config, count))) == 2


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_a_count_that_is_none_is_refused_at_the_call(model, count):
    with pytest.raises(ValueError, match="count must be a whole number"):
        generate_takes(model, GenerationConfig(), count)


def test_wrong_settings_are_refused_at_the_call(model):
    with pytest.raises(ValueError, match="sampler must be one of"):
        generate_takes(model, GenerationConfig(sampler="dice"))


@pytest.mark.parametrize(("duration", "count"), [(1e12, 1), (30.0, 10**9)])
def test_takes_beyond_the_memory_are_refused_before_the_work(model, duration, count):
    config = GenerationConfig(duration=duration, allow_long=True)
    with pytest.raises(MemoryError, match=r"at most \d+ s fit"):
        generate_takes(model, config, count)


def test_a_take_begins_and_ends_without_a_click(model):
    rate = model.sample_rate
    for seed in range(8):
        audio = generate(model, GenerationConfig(duration=1, seed=seed, quality="fast")).audio
        loudest = np.abs(audio).max()
        assert max(abs(audio[0]), abs(audio[-1])) < 0.03 * loudest
        # 2 ms later an attack is as loud as it is.
        assert np.abs(audio[: rate // 100]).max() > 0.05 * loudest


def test_the_seconds_of_takes_made_together_add_up(model):
    start = time.perf_counter()
    takes = list(generate_takes(model, GenerationConfig(duration=2, quality="fast"), 3))
    elapsed = time.perf_counter() - start
    spent = sum(sum(take.timings.values()) for take in takes)
    assert 0.5 * elapsed < spent <= elapsed
    assert len({take.timings["sample"] for take in takes}) == 1
