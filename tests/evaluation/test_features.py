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


def plain_features(second):
    """Level, flatness and variation of the bands of a second at 48 kHz, in plain numpy."""
    second = second / np.sqrt(np.mean(second**2))
    padded = np.pad(second, 2048, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4096) / 4096)
    frames = [padded[i : i + 4096] * window for i in range(0, len(padded) - 4095, 1024)]
    power = np.abs(np.fft.rfft(frames, axis=1).T) ** 2 + 1e-9
    frequency = np.arange(2049) * 48_000 / 4096
    columns = []
    for low in 100 * 2 ** (np.arange(15) / 2):
        band = power[(frequency >= low) & (frequency < low * 2**0.5)]
        flatness = np.mean(np.log(band).mean(axis=0) - np.log(band.mean(axis=0)))
        level = band.sum(axis=0)
        columns.append([np.log10(level.mean()), flatness, np.log(level).std(ddof=1)])
    return np.array(columns).T.flatten()


def test_features_are_those_of_plain_numpy():
    time = torch.arange(48_000) / 48_000
    random = torch.randn(48_000, generator=torch.Generator().manual_seed(0))
    swell = random * (0.1 + time) + torch.sin(2 * torch.pi * 440 * time)
    found = second_features(swell, SpectrogramSettings())
    assert np.allclose(found.band_rows[0], plain_features(swell.double().numpy()), atol=1e-3)
    assert found.rows.shape == (1, 3 * 15 + len(MODULATION_HZ))


@pytest.mark.parametrize("samples", [1, 100, RATE // 3])
def test_short_sounds_have_finite_features(samples):
    features = second_features(noise()[:samples], MEL)
    assert features.place.tolist() == [0]
    assert np.isfinite(features.rows).all()


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
