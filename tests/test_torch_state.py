"""Takes in programs that have set PyTorch up in their own way."""

import threading
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController

from distill_prior_gen import GenerationConfig, generate, generate_takes, invert_mel, load_model
from distill_prior_gen.demo import demo_model

FAST: dict[str, Any] = {"quality": "fast", "seed": 1}
CONFIGS = {
    "long": GenerationConfig(duration=5, **FAST),
    "loop": GenerationConfig(duration=1.5, loop=True, **FAST),
    "crossfade": GenerationConfig(duration=2, sampler="independent", join="crossfade", **FAST),
    "torchaudio": GenerationConfig(duration=1, vocoder="torchaudio", **FAST),
}


@pytest.fixture(scope="module")
def takes(demo):
    return {name: generate(demo, config) for name, config in CONFIGS.items()}


@contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


PROGRAMS = {
    "1 thread": lambda: threads(1),
    "2 threads": lambda: threads(2),
    "5 threads": lambda: threads(5),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "another device": lambda: torch.device("meta"),
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_take_is_the_same_bit_for_bit_whatever_the_program_has_set(demo, takes, program):
    for name in CONFIGS if "thread" in program else ("loop", "torchaudio"):
        with PROGRAMS[program]():
            take = generate(demo, CONFIGS[name])
        assert np.array_equal(take.audio, takes[name].audio), name
        assert take.codes.equal(takes[name].codes)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["inference mode", "float64", "another device"])
def test_a_model_can_be_loaded_in_such_a_program(takes, program):
    with PROGRAMS[program]():
        take = generate(load_model(demo_model(), "cpu"), CONFIGS["loop"])
    assert np.array_equal(take.audio, takes["loop"].audio)


def test_a_mel_is_inverted_alike_for_any_number_of_threads(demo, takes):
    mel, sounds = takes["long"].mel, []
    for count in (1, 3):
        with threads(count):
            sounds.append(invert_mel(mel, demo.spectrogram, quality="fast"))
    assert sounds[0].equal(sounds[1])


def test_the_settings_of_the_program_are_back_between_two_takes(demo):
    with threads(3), torch.autocast("cpu"), default_dtype(torch.float64):
        for _ in generate_takes(demo, GenerationConfig(duration=1, quality="fast"), 2):
            assert torch.get_num_threads() == 3
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_default_dtype() == torch.float64


def test_the_settings_of_the_program_are_back_after_an_interruption(demo):
    def interrupt(share, text):
        raise KeyboardInterrupt

    with threads(3):
        with pytest.raises(KeyboardInterrupt):
            generate(demo, GenerationConfig(duration=1), interrupt)
        assert torch.get_num_threads() == 3


def test_another_thread_keeps_its_number_of_threads_while_a_take_is_made(demo):
    seen = []

    def look(share, text):
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()

    with threads(3):
        generate(demo, GenerationConfig(duration=1, quality="fast"), look)
    assert set(seen) == {3}


def test_numpy_uses_one_thread_while_a_take_is_made(demo):
    seen: list[int] = []

    def look(share, text):
        if share < 1:
            seen.extend(pool["num_threads"] for pool in openblas.info())

    openblas = ThreadpoolController().select(internal_api="openblas")
    if not openblas.info():
        pytest.skip("NumPy uses another BLAS here")
    with openblas.limit(limits=3):
        generate(demo, GenerationConfig(duration=1, quality="fast"), look)
        assert set(seen) == {1}
        assert {pool["num_threads"] for pool in openblas.info()} == {3}


@pytest.mark.slow
def test_takes_from_several_threads_at_once_are_those_made_alone(demo, takes):
    made, state = [], torch.get_rng_state()
    work = [
        threading.Thread(target=lambda: made.append(generate(demo, CONFIGS["loop"]).audio))
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(made) == 3
    assert all(np.array_equal(audio, takes["loop"].audio) for audio in made)
    assert state.equal(torch.get_rng_state())


@pytest.mark.slow
def test_the_default_dtype_stays_until_the_last_of_several_threads_is_finished(demo, takes):
    late_begun, early_finished, made = threading.Event(), threading.Event(), []

    def hold(share, text):
        late_begun.set()
        early_finished.wait(60)

    late = threading.Thread(target=lambda: made.append(generate(demo, CONFIGS["loop"], hold)))

    def start_late(share, text):
        if not late_begun.is_set():
            late.start()
            late_begun.wait(60)

    with default_dtype(torch.float64):
        made.append(generate(demo, CONFIGS["loop"], start_late))
        early_finished.set()
        late.join()
        assert torch.get_default_dtype() == torch.float64
    assert len(made) == 2
    assert all(np.array_equal(take.audio, takes["loop"].audio) for take in made)


@pytest.mark.slow
def test_a_take_that_is_edited_in_place_changes_no_other(demo):
    config = GenerationConfig(duration=1, seed=4, quality="fast")
    with torch.inference_mode():
        first, second = generate_takes(demo, config, 2)
    kept = second.codes.clone(), second.mel.clone(), second.audio.copy()
    first.codes.zero_()
    first.mel.zero_()
    first.audio[:] = 0
    assert second.codes.equal(kept[0])
    assert second.mel.equal(kept[1])
    assert np.array_equal(second.audio, kept[2])
    again = generate(demo, config)
    assert again.codes.any()
    assert again.audio.any()
