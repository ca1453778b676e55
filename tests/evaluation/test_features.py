"""Features of seconds of sound, for sounds whose features are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.evaluation.features import (
    MODULATION_HZ,
    band_edges,
    modulation_shares,
    second_features,
)

RATE = 16_000
MEL = SpectrogramSettings(RATE, 512, 128, 40)
TIME = torch.arange(RATE) / RATE


def noise(seconds=1.0, seed=0):
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_bands_are_half_octaves_from_100_hz_and_below_half_the_sample_rate():
    edges = band_edges(RATE)
    assert edges[0] == 100
    assert np.allclose(edges[1:] / edges[:-1], math.sqrt(2))
    assert edges[-1] <= RATE / 2 < edges[-1] * math.sqrt(2)


def test_a_tone_is_loud_and_tonal_in_its_band():
    features = second_features(torch.sin(2 * torch.pi * 1000 * TIME), MEL)
    band = int(np.searchsorted(band_edges(RATE), 1000)) - 1
    assert features.level[0].argmax() == band
    assert features.flatness[0, band] < -4
    assert features.variation[0, band] < 0.1


def test_noise_is_flat():
    """The mean logarithm of the power of noise is Euler's constant below that of the mean."""
    features = second_features(noise(20), MEL)
    assert features.flatness[:, 5:].mean() == pytest.approx(-0.5772, abs=0.05)


@pytest.mark.parametrize("band", range(1, 5))
def test_modulation_is_in_the_band_of_its_frequency(band):
    low, high = MODULATION_HZ[band]
    frequency = math.sqrt(low * high)
    pulses = noise() * (1 + torch.sin(2 * torch.pi * frequency * TIME))
    shares = modulation_shares(pulses / pulses.square().mean().sqrt(), RATE).exp()
    assert int(shares.argmax()) == band
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.01, 100))
def test_the_level_of_a_sound_does_not_matter(gain):
    sound = noise(2)
    features, louder = second_features(sound, MEL), second_features(gain * sound, MEL)
    assert np.allclose(features.rows, louder.rows, atol=1e-3)


def test_silent_seconds_are_left_out_and_short_sounds_count():
    sound = torch.cat([noise(1), torch.zeros(RATE), noise(1.5, seed=1)])
    assert second_features(sound, MEL).place.tolist() == [0, 2]
    assert len(second_features(noise(0.2), MEL)) == 1
    assert len(second_features(torch.zeros(RATE), MEL)) == 0
