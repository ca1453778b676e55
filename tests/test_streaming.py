import gc
import itertools
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from distill_prior_gen import GenerationConfig, generate, hookimpl, stream
from distill_prior_gen.endless_sound import PIECE_S
from distill_prior_gen.evaluation.metrics import change_metrics, seam_ratios
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.streaming import LIVE
from tests.helpers.plugins import registered


def first_pieces(model, config, count):
    return list(itertools.islice(stream(model, config), count))


@pytest.fixture
def unscaled(monkeypatch):
    """Streams whose samples are cut off at -1 and 1, not scaled."""
    monkeypatch.setattr("distill_prior_gen.endless_sound._gain", lambda piece: 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("unscaled")
@pytest.mark.parametrize("quality", ["fast", "normal"])
@pytest.mark.parametrize("vocoder", ["trained", "mel-griffin-lim"])
@pytest.mark.parametrize(("sampler", "seed"), [("timeline", 1), ("continue", 5)])
def test_a_stream_has_the_samples_of_the_take_with_its_seed(demo, sampler, seed, vocoder, quality):
    """But for the end of the take, which is rendered without what would follow."""
    config = GenerationConfig(
        sampler=sampler, seed=seed, vocoder=vocoder, quality=quality, duration=10
    )
    take = generate(demo, config)
    samples = np.concatenate(first_pieces(demo, config, 4))
    expected = (take.audio / take.gain).clip(-1, 1)[: len(samples)]
    error = np.square(samples - expected, dtype=np.float64).mean()
    assert error < 1e-7 * np.square(expected, dtype=np.float64).mean()


@pytest.mark.slow
def test_borders_of_pieces_are_like_the_rest(demo):
    """Metrics of `docs/coherence.md`, for borders of pieces and places between them."""
    pieces = first_pieces(demo, GenerationConfig(seed=2), 40)
    audio, length = np.concatenate(pieces), len(pieces[0])
    assert {len(piece) for piece in pieces} == {length}
    assert length == pytest.approx(PIECE_S * demo.sample_rate, rel=0.01)
    borders = [length * number for number in range(1, 40)]
    mel = demo.spectrogram.log_mel(torch.from_numpy(audio))
    hop = demo.spectrogram.hop_length
    change = change_metrics(mel, [border / hop for border in borders], STRIDE)
    assert change["border"] / change["inside"] < 1.15
    assert change["jump"] / change["jump_inside"] < 1.15
    energy, step = seam_ratios([audio], demo.sample_rate, borders)
    assert energy < 1.5
    assert step < 1.5


@pytest.mark.slow
def test_loud_sound_becomes_quieter_without_steps(demo):
    """The take with this seed is scaled by less than 0.8 so that it does not clip."""
    config = GenerationConfig(seed=3, duration=30)
    take = generate(demo, config)
    assert take.gain < 0.8
    samples = np.concatenate(first_pieces(demo, config, 12))
    assert 0.99 < np.abs(samples).max() <= 1
    moment = demo.sample_rate // 100
    end = len(samples) // moment * moment
    samples, unscaled = (it[:end].reshape(-1, moment) for it in (samples, take.audio / take.gain))
    heard = np.flatnonzero(np.abs(unscaled).max(axis=1) > 0.05)
    gain = (samples * unscaled).sum(axis=1)[heard] / np.square(unscaled).sum(axis=1)[heard]
    assert gain[0] > 0.9
    assert np.abs(np.diff(gain) / np.diff(heard)).max() < 0.005


def test_the_same_seed_gives_the_same_samples(remembering):
    config = GenerationConfig(seed=5, quality="fast")
    pieces, again = (first_pieces(remembering, config, 3) for _ in range(2))
    assert all(map(np.array_equal, pieces, again))
    other = first_pieces(remembering, GenerationConfig(seed=6, quality="fast"), 3)
    assert not np.array_equal(pieces[2], other[2])


def test_a_stream_without_seed_is_new_each_time(remembering):
    config = GenerationConfig(quality="fast")
    assert not np.array_equal(*(first_pieces(remembering, config, 1)[0] for _ in range(2)))


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["timeline", "continue"])
def test_memory_is_bounded(remembering, sampler):
    """What is kept after two minutes is no more than after half a minute."""

    def kept():
        gc.collect()
        tensors = sum(type(x) is torch.Tensor and x.nbytes for x in gc.get_objects())
        return tensors + tracemalloc.get_traced_memory()[0]

    pieces = stream(remembering, GenerationConfig(seed=1, sampler=sampler, quality="fast"))
    tracemalloc.start()
    try:
        list(itertools.islice(pieces, 15))
        before = kept()
        for _ in range(45):
            next(pieces)
        assert kept() < before + 50_000
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("unscaled")
@pytest.mark.parametrize("sampler", ["timeline", "continue"])
def test_a_stream_continues_a_recording_as_a_take_does(remembering, tmp_path, sampler):
    path = tmp_path / "tone.wav"
    time = np.arange(6000) / remembering.sample_rate
    soundfile.write(path, np.sin(2 * np.pi * 440 * time), remembering.sample_rate)
    config = GenerationConfig(seed=1, prompt=path, sampler=sampler, duration=10)
    take = generate(remembering, config)
    samples = np.concatenate(first_pieces(remembering, config, 3))
    expected = (take.audio / take.gain).clip(-1, 1)[: len(samples)]
    assert np.corrcoef(samples, expected)[0, 1] > 0.999


def test_settings_of_pytorch_are_restored_between_pieces(remembering):
    config = GenerationConfig(seed=1, quality="fast")
    expected = first_pieces(remembering, config, 2)
    torch.set_default_dtype(torch.float64)
    try:
        pieces = stream(remembering, config)
        assert all(np.array_equal(next(pieces), piece) for piece in expected)
        assert torch.get_default_dtype() == torch.float64
        assert torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"temperature_end": 1.2}, "temperature_end"),
        ({"loop": True}, "loop"),
        ({"bright": (0.1, 0.9)}, "the course of bright"),
        ({"prompt": "x.wav", "vary": 0.0}, "vary"),
        ({"prompt": "x.wav", "prompt_crossfade": True}, "prompt_crossfade"),
    ],
)
def test_settings_that_need_an_end_are_refused(remembering, settings, name):
    with pytest.raises(ValueError, match=f"^{name} does not go with sound without end"):
        stream(remembering, GenerationConfig(**settings))


def test_a_stream_is_mono(remembering):
    with pytest.raises(ValueError, match="mono; leave out width"):
        stream(remembering, GenerationConfig(width=0.5))


class Broken:
    """A plugin with a vocoder that gives no numbers."""

    @hookimpl
    def distill_register_vocoders(self, register):
        register("mine", lambda mel, *rest: torch.full((64 * mel.shape[1] - 64,), torch.nan))


def test_a_vocoder_that_gives_no_numbers_is_reported(remembering):
    message = "vocoder mine gave samples that are not finite"
    with registered(Broken()), pytest.raises(FloatingPointError, match=message):
        next(stream(remembering, GenerationConfig(vocoder="mine")))


SAMPLERS = pytest.mark.parametrize("sampler", ["timeline", "continue"])


@SAMPLERS
def test_settings_that_are_asked_for_and_stay_give_the_same_samples(remembering, sampler):
    """Also after columns were forgotten."""
    config = GenerationConfig(seed=5, sampler=sampler, quality="fast")
    pieces = stream(remembering, config, lambda: replace(config))
    assert all(map(np.array_equal, itertools.islice(pieces, 8), stream(remembering, config)))


CHANGES: dict[str, Any] = {
    "temperature": 0.3,
    "top_p": 0.4,
    "top_k": 1,
    "min_p": 0.5,
    "wander": 0.0,
    "loud": 0.9,
    "bright": 0.1,
    "noisy": 0.9,
    "dense": 0.1,
    "vocoder": "torchaudio",
    "quality": "normal",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_acts_on_what_is_still_to_come(remembering, name):
    """The pieces before it are the same; one that was made already may still be given out."""
    config = GenerationConfig(seed=1, sampler="timeline", quality="fast")
    now = config
    pieces, unchanged = (
        stream(remembering, config, lambda: now),
        first_pieces(remembering, config, 12),
    )
    before = list(itertools.islice(pieces, 3))
    assert all(map(np.array_equal, before, unchanged))
    now = replace(config, **{name: CHANGES[name]})
    after = list(itertools.islice(pieces, 9))
    assert not all(map(np.array_equal, after, unchanged[3:]))
    assert set(CHANGES) == set(LIVE)


def test_settings_that_do_not_fit_are_refused_while_it_plays(remembering):
    config = GenerationConfig(seed=1, quality="fast")
    now = config
    pieces = stream(remembering, config, lambda: now)
    next(pieces)
    now = replace(config, temperature=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="temperature has 3 values, but the model has 2 levels"):
        list(itertools.islice(pieces, 3))
