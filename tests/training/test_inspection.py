import numpy as np
import pytest
import soundfile
import torch

from distill_prior_gen.training.inspection import (
    MAX_FLATNESS,
    count_clipped,
    flatness,
    inspect_recordings,
)

RATE = 16_000


def tone(hertz=440.0, seconds=2.0, rate=RATE, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def noise(seconds=2.0, seed=0, amplitude=0.1):
    generator = np.random.default_rng(seed)
    return amplitude * generator.standard_normal(int(seconds * RATE))


def sweep(seed, seconds=2.0):
    """A sound that differs from those of other seeds."""
    time = np.arange(int(seconds * RATE)) / RATE
    return 0.3 * np.sin(
        2 * np.pi * (200 + 130 * seed) * time + (3 + seed) * np.sin(5 * seed * time)
    )


@pytest.fixture
def inspect(tmp_path):
    def inspect(**sounds):
        files = {}
        for name, samples in sounds.items():
            path = tmp_path / f"{name}.wav"
            soundfile.write(path, samples, RATE, "PCM_16")
            files[path.name] = path
        found = inspect_recordings(files)
        assert [recording.name for recording in found] == list(files)
        return found

    return inspect


def test_length_and_level_are_those_of_the_sound(inspect):
    (found,) = inspect(a=tone(amplitude=0.5, seconds=3))
    assert found.seconds == pytest.approx(3, abs=0.001)
    assert found.level == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.05)
    assert found.usable
    assert found.warnings == ()


def test_each_fault_is_told_in_words(inspect, tmp_path):
    left = sweep(3)
    found = inspect(
        good=sweep(1),
        silent=np.zeros(RATE),
        clipped=np.clip(3 * sweep(2) / 0.3, -1, 1),
        short=sweep(4, 0.5),
        cancels=np.stack([left, -left], axis=1),
        hiss=noise(),
    )
    warnings = {recording.name: recording.warnings for recording in found}
    assert warnings["good.wav"] == ()
    assert warnings["silent.wav"] == ("is silent",)
    assert warnings["clipped.wav"][0].startswith("clipped at ")
    assert [text.partition(":")[0] for text in warnings["short.wav"]] == ["shorter than a second"]
    assert [text.partition(":")[0] for text in warnings["cancels.wav"]] == [
        "its channels cancel in mono"
    ]
    assert [text.partition(":")[0] for text in warnings["hiss.wav"]] == ["noisy"]
    assert [recording.name for recording in found if not recording.usable] == ["silent.wav"]


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    broken, missing = tmp_path / "broken.wav", tmp_path / "gone.wav"
    broken.write_bytes(b"RIFF, but no more")
    found = inspect_recordings({"broken.wav": broken, "gone.wav": missing})
    for recording in found:
        assert not recording.usable
        assert recording.warnings[0].startswith("cannot be read: ")
        assert str(tmp_path) not in recording.warnings[0]


def test_copies_name_the_first_one(inspect):
    found = inspect(a=sweep(1), b=sweep(2), c=0.4 * sweep(1))
    assert [recording.warnings for recording in found] == [(), (), ("the same sound as a.wav",)]


def test_a_recording_with_more_than_half_of_the_seconds_is_named(inspect):
    found = inspect(a=sweep(1, 2), b=sweep(2, 2), c=sweep(3, 6))
    assert [recording.warnings for recording in found[:2]] == [(), ()]
    assert found[2].warnings == ("60% of all seconds: takes will resemble it most",)


@pytest.mark.parametrize("hertz", [20, 55, 200, 1000])
@pytest.mark.parametrize("scale", [2**15, 2**23])
def test_loud_waves_are_not_clipped_and_overdriven_ones_are_counted(hertz, scale):
    loud = tone(hertz, 1.0, 48_000, 1.0)
    quantized = np.round(loud * (scale - 1)) / scale
    assert count_clipped(quantized[:, None]) == 0
    # Each period has an upper and a lower peak, the first of which may be cut by the borders.
    clipped = count_clipped(np.clip(1.5 * quantized, -1, 1)[:, None])
    assert clipped == pytest.approx(2 * hertz, abs=1)


def test_only_sounds_that_are_mostly_noise_are_noisy():
    white = torch.from_numpy(noise(amplitude=1.0)).float()
    chord = torch.from_numpy(sum(tone(hertz, amplitude=1.0) for hertz in (220, 277, 330))).float()
    assert flatness(white) == pytest.approx(np.exp(-np.euler_gamma), abs=0.03)
    assert flatness(chord) < 0.001
    level = float(chord.std())
    for decibels, noisy in ((-40, False), (-20, False), (6, True)):
        mixed = chord + white * level * 10 ** (decibels / 20)
        assert (flatness(mixed) > MAX_FLATNESS) is noisy, decibels
