import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, Region, generate, load_model, redraw
from distill_prior_gen.audio.joining import fade_ends, rising_fade
from distill_prior_gen.demo import demo_model
from distill_prior_gen.export.files import write_take
from distill_prior_gen.export.loudness import measure_loudness
from distill_prior_gen.export.opening import open_take
from distill_prior_gen.formats import ExportConfig
from distill_prior_gen.stereo import side_signal

RATE = 48_000


def third_octaves(signal, rate=RATE):
    """Centre frequency and power of each third-octave band from 31 Hz, ``[band]`` each."""
    power = np.abs(np.fft.rfft(signal.astype(np.float64))) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1 / rate)
    centres = 1000 * 2.0 ** (np.arange(-15, 14) / 3)
    centres = centres[centres * 2 ** (1 / 6) < rate / 2]
    bands = [(hertz >= c / 2 ** (1 / 6)) & (hertz < c * 2 ** (1 / 6)) for c in centres]
    return centres, np.array([power[band].sum() for band in bands])


def widened(mid, width=1.0, loop=False, rate=RATE):
    """Left and right."""
    mid = torch.from_numpy(mid)
    side = side_signal(mid, rate, width, np.random.default_rng(1), loop)
    return (mid + side).numpy(), (mid - side).numpy()


def check_channels(mid, left, right):
    """What holds for stereo of any sound at full width."""
    centres, mono = third_octaves(mid)
    _, lefts = third_octaves(left)
    _, rights = third_octaves(right)
    heard = mono > 1e-7 * mono.max()
    # The mono sum against the mean of the channels, and against the mono take.
    assert 10 * np.log10((lefts + rights) / 2 / mono)[heard].max() < 1.0
    np.testing.assert_allclose((left + right) / 2, mid, atol=1e-6)
    # Both channels are balanced and sound like the mono take.
    assert np.abs(10 * np.log10(lefts / rights))[heard].max() < 3.0
    assert np.abs(10 * np.log10(lefts / mono))[heard].max() < 2.0
    low = heard & (centres < 126)
    np.testing.assert_allclose(lefts[low], mono[low], rtol=0.02)
    return centres, mono, third_octaves((left - right) / 2)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "loop"), [(1, False), (3, False), (5, True)])
def test_the_mono_sum_of_a_take_loses_nothing(seed, loop):
    config = GenerationConfig(seed=seed, duration=8, loop=loop, width=1.0)
    take = generate(load_model(demo_model(), "cpu"), config)
    left, right = take.channels.T
    check_channels(take.audio, left, right)
    assert np.corrcoef(left, right)[0, 1] < 0.999


def test_noise_is_wider_towards_high_frequencies():
    noise = 0.1 * np.random.default_rng(2).standard_normal(3 * RATE, dtype=np.float32)
    centres, mono, side = check_channels(noise, *widened(noise))
    share = 10 * np.log10(side / mono)
    assert share[centres < 126].max() < -30
    at = [share[np.argmin(np.abs(centres - hertz))] for hertz in (200, 500, 2000, 8000)]
    assert (np.diff(at) > 0).all()
    assert at[-1] == pytest.approx(20 * np.log10(0.48), abs=1.0)
    # Narrower: the amplitude of the difference is in proportion.
    left, right = widened(noise, 0.5)
    half = third_octaves((left - right) / 2)[1]
    wide = centres > 500
    np.testing.assert_allclose(half[wide], side[wide] / 4, rtol=0.01)


def test_width_0_is_mono_bit_for_bit(model):
    take = generate(model, GenerationConfig(seed=1, duration=1, quality="fast"))
    assert take.channels is take.audio
    wide = generate(model, GenerationConfig(seed=1, duration=1, quality="fast", width=0.7))
    assert np.array_equal(wide.audio, take.audio)
    assert wide.codes.equal(take.codes)
    assert wide.channels.shape == (len(take.audio), 2)


@settings(max_examples=20)
@given(st.integers(1, 3000), st.booleans(), st.sampled_from([1000, 8000, 44_100]))
def test_every_length_and_rate_can_be_widened(samples, loop, rate):
    mid = np.random.default_rng(samples).standard_normal(samples, dtype=np.float32)
    left, right = widened(mid, 1.0, loop, rate)
    assert left.shape == right.shape == mid.shape
    np.testing.assert_allclose((left + right) / 2, mid, atol=1e-5)


def test_an_attack_is_not_smeared_before_it():
    click = np.zeros(RATE, np.float32)
    click[RATE // 2 :] = 0.3 * rising_fade(RATE // 2).flip(0).numpy()
    click *= np.random.default_rng(3).standard_normal(RATE, dtype=np.float32)
    left, right = widened(click)
    side = (left - right) / 2
    before = np.square(side[: RATE // 2 - 1024]).sum()
    assert before < 1e-4 * np.square(side).sum()


def test_both_channels_begin_and_end_without_a_click():
    noise = fade_ends(torch.from_numpy(np.random.default_rng(5).uniform(-1, 1, RATE)).float(), RATE)
    left, right = widened(noise.numpy())
    ends = np.concatenate([x[[0, 1, -2, -1]] for x in (left, right)])
    assert np.abs(ends).max() < 0.01


def test_sections_of_a_long_sound_fit_together(monkeypatch):
    noise = 0.1 * np.random.default_rng(4).standard_normal(2 * RATE, dtype=np.float32)
    whole = widened(noise)[0]
    monkeypatch.setattr("distill_prior_gen.stereo.SECTION_FRAMES", 100)
    np.testing.assert_allclose(widened(noise)[0], whole, atol=1e-4)


def test_a_loop_is_a_loop_in_stereo():
    """It is the same wherever it starts, as far as the noise allows, and has no step at its end."""
    time = np.arange(RATE) / RATE
    hertz = np.array([[220], [1000], [3001]])
    tone = 0.1 * np.sin(2 * np.pi * hertz * time).sum(axis=0).astype(np.float32)
    left, _ = widened(tone, loop=True)
    step = np.abs(np.diff(left)).max()
    assert abs(left[0] - left[-1]) <= 1.05 * step
    spectrum = np.abs(np.fft.rfft(np.tile(left, 3)))
    between = np.delete(spectrum, np.s_[::3])  # frequencies that only a step would have
    assert between.max() < 1e-6 * spectrum.max()


@pytest.fixture(scope="module")
def wide_take(model):
    return generate(model, GenerationConfig(seed=2, duration=2, quality="fast", width=0.8))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
def test_files_have_two_channels(wide_take, model, tmp_path, form):
    path = tmp_path / f"take.{form}"
    sidecar = write_take(wide_take, model.identity, path, ExportConfig(form))
    audio, _ = soundfile.read(path, dtype="float32")
    expected = wide_take.channels * (sidecar.gain / wide_take.gain)
    if form == "ogg":
        assert np.corrcoef((audio - expected).T)[0, 1] < 0.9
        assert np.corrcoef(audio[:, 0], expected[:, 0])[0, 1] > 0.9
    else:
        np.testing.assert_allclose(audio, expected, atol=1e-6)
    assert np.abs(audio).max() <= 1
    assert sidecar.config["width"] == 0.8


@pytest.mark.parametrize("rate", [None, 44_100])
def test_loudness_is_that_of_both_channels(wide_take, model, tmp_path, rate):
    """Two equal channels are 3 dB louder than one, says BS.1770."""
    path = tmp_path / "take.wav"
    write_take(wide_take, model.identity, path, ExportConfig(loudness=-40.0, sample_rate=rate))
    audio, rate = soundfile.read(path, dtype="float32")
    assert measure_loudness(audio, rate) == pytest.approx(-40.0, abs=0.1)
    twice = np.stack([audio[:, 0]] * 2, axis=1)
    one = measure_loudness(audio[:, 0], rate)
    assert measure_loudness(twice, rate) == pytest.approx(one + 3.01, abs=0.05)


@pytest.mark.slow
def test_edited_takes_stay_wide_and_are_made_again_in_stereo(wide_take, model, tmp_path):
    edited = redraw(model, wide_take, [Region(0.5, 1.2)])
    assert edited.config.width == 0.8
    mid = edited.channels.mean(axis=1)
    np.testing.assert_allclose(mid, edited.audio, atol=1e-6)
    path = tmp_path / "take.wav"
    write_take(edited, model.identity, path, ExportConfig(bit_depth=32))
    again = open_take(model, tmp_path / "take.wav.json")
    assert np.array_equal(again.channels, edited.channels)
    mono = open_take(model, tmp_path / "take.wav.json", width=0.0)
    assert np.array_equal(mono.channels, edited.audio)


def test_replay_makes_the_same_file(run, model_path, tmp_path):
    assert run("sample", model_path, "-o", "a.wav", "-d", "1", "--width", "0.6").exit_code == 0
    assert run("replay", "a.wav.json", "-o", "b.wav").exit_code == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert soundfile.info("a.wav").channels == 2
    assert run("replay", "a.wav.json", "-o", "c.wav", "--width", "0").exit_code == 0
    assert soundfile.info("c.wav").channels == 1
