"""Descriptors rise and fall with what they are named after."""

import math

import numpy as np
import pytest
import torch

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import DESCRIPTORS
from distill_prior_gen.training.descriptors import describe, sum_columns

SPECTROGRAM = SpectrogramSettings(sample_rate=16_000, n_fft=1024, hop_length=256, n_mels=64)
RATE = SPECTROGRAM.sample_rate


def tone(hertz, seconds=3.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * np.sin(2 * np.pi * hertz * time)


def noise(seconds=3.0):
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * RATE))


def strokes(a_second, seconds=3.0):
    """Decaying tones, a number of times a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    return tone(500, seconds) * np.exp(-8 * (time % (1 / a_second)))


def values(samples, descriptor):
    mel = SPECTROGRAM.log_mel(torch.from_numpy(samples).float())
    columns = describe(sum_columns(mel), RATE / SPECTROGRAM.hop_length)
    return columns[:, DESCRIPTORS.index(descriptor)].double().numpy()


@pytest.mark.parametrize(
    ("descriptor", "sounds"),
    [
        ("loud", [0.1 * tone(500), 0.3 * tone(500), tone(500)]),
        ("bright", [tone(200), tone(1000), tone(4000)]),
        ("noisy", [tone(500), tone(500) + 0.05 * noise(), noise()]),
        ("dense", [tone(500), strokes(1), strokes(4)]),
    ],
)
def test_a_descriptor_rises_with_what_it_is_named_after(descriptor, sounds):
    means = [np.nanmean(values(sound, descriptor)[1:-1]) for sound in sounds]
    assert means == sorted(means)
    assert len({round(mean, 3) for mean in means}) == 3


def test_loudness_is_in_db_and_the_others_do_not_depend_on_the_level():
    for descriptor in DESCRIPTORS:
        loud, quiet = (values(factor * strokes(2), descriptor) for factor in (1.0, 0.5))
        expected = 20 * math.log10(2) if descriptor == "loud" else 0.0
        np.testing.assert_allclose(loud - quiet, expected, atol=0.1)


def test_a_descriptor_follows_what_happens_within_about_a_second():
    bright = values(np.concatenate([tone(300), tone(3000)]), "bright")
    column_s = 16 * SPECTROGRAM.hop_length / RATE
    reach = math.ceil(0.6 / column_s) + 1
    middle = round(3 / column_s)
    assert np.ptp(bright[: middle - reach]) < 1
    assert np.ptp(bright[middle + reach : -1]) < 1
    assert bright[middle + reach] > bright[middle - reach] + 10


def test_silence_is_not_described():
    described = describe(sum_columns(torch.zeros(64, 100)), 60)
    assert described.shape == (7, 4)
    assert described.isnan().all()
    half = np.concatenate([tone(500), np.zeros(3 * RATE)])
    for descriptor in DESCRIPTORS:
        columns = values(half, descriptor)
        assert np.isfinite(columns[:10]).all()
        assert np.isnan(columns[-5:]).all()
