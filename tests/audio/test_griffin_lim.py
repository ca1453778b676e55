import math
import random

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate_takes, invert_mel, load_model
from distill_prior_gen.audio import griffin_lim
from distill_prior_gen.audio.mel import (
    MAX_BANDS,
    MAX_BINS,
    MAX_OVERLAP,
    SpectrogramSettings,
)
from distill_prior_gen.config import QUALITIES
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation.metrics import mel_fit, seam_ratios

DEFAULT = SpectrogramSettings()


def log_mel(samples: torch.Tensor, spectrogram: SpectrogramSettings) -> torch.Tensor:
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=spectrogram.sample_rate,
        n_fft=spectrogram.n_fft,
        hop_length=spectrogram.hop_length,
        n_mels=spectrogram.n_mels,
        f_min=spectrogram.f_min,
        f_max=spectrogram.f_max,
        power=spectrogram.power,
    )
    return transform(samples).log1p()


def sound(seconds: float = 2.0, rate: int = 48_000) -> torch.Tensor:
    """Plucked tones over soft noise: onsets, partials and a floor."""
    generator = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.003 * generator.standard_normal(len(time))
    for start in np.arange(0, seconds, 0.25):
        frequency = 110 * 2 ** generator.integers(0, 36) ** (1 / 1.6) / 12
        since = np.clip(time - start, 0, None)
        for partial in range(1, 9):
            wave = np.sin(2 * np.pi * partial * (110 + frequency) * since)
            samples += 0.2 / partial * wave * np.exp(-6 * partial**0.5 * since) * (time >= start)
    return torch.from_numpy(0.5 * samples / np.abs(samples).max()).float()


def smooth_mel() -> torch.Tensor:
    """As decoders give it: blurred in time and frequency, and alternating from frame to frame."""
    mel = log_mel(sound(), DEFAULT)
    blurred = torch.nn.functional.avg_pool2d(mel[None], 7, stride=1, padding=3)[0]
    ripple = 1 + 0.15 * (-1) ** torch.arange(mel.shape[1])
    return blurred * ripple


def test_the_mel_of_a_sound_is_torchaudios():
    spectrogram = SpectrogramSettings(22_050, 1024, 300, 80, 40.0, 8000.0, 1.0)
    samples = sound(0.5, 22_050)
    torch.testing.assert_close(
        spectrogram.log_mel(samples), log_mel(samples, spectrogram), atol=1e-4, rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mel", "quality", "l1", "convergence"),
    [
        (log_mel(sound(), DEFAULT), "normal", 0.35, 0.55),
        (smooth_mel(), "normal", 1.0, 1.0),
        (smooth_mel(), "fast", 1.0, 1.0),
    ],
    ids=["real", "smooth", "smooth, fast"],
)
def test_it_is_closer_to_the_mel_than_torchaudio(mel, quality, l1, convergence):
    fits = [
        mel_fit(mel, invert_mel(mel, DEFAULT, vocoder, quality), DEFAULT)
        for vocoder in ("mel-griffin-lim", "torchaudio")
    ]
    ours, theirs = fits
    assert ours["l1"] <= l1 * theirs["l1"]
    assert ours["convergence"] <= convergence * theirs["convergence"]
    assert ours["onsets"] >= theirs["onsets"]


@pytest.mark.slow
def test_more_iterations_come_closer():
    mel = log_mel(sound(), DEFAULT)
    errors = [mel_fit(mel, invert_mel(mel, DEFAULT, quality=q), DEFAULT)["l1"] for q in QUALITIES]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.slow
def test_decoded_mels_are_inverted_better_than_by_torchaudio(trained_model):
    model = trained_model
    config = GenerationConfig(duration=5, seed=0, quality="fast", sampler="continue")
    mels = [take.mel for take in generate_takes(model, config, 2)]

    def mean(vocoder, quality="normal"):
        sounds = [invert_mel(mel, model.spectrogram, vocoder, quality) for mel in mels]
        fits = [mel_fit(m, s, model.spectrogram) for m, s in zip(mels, sounds, strict=True)]
        return {key: np.mean([fit[key] for fit in fits]) for key in fits[0]}

    theirs = mean("torchaudio")
    for quality, l1, convergence in (("normal", 0.70, 0.35), ("fast", 0.76, 0.4)):
        ours = mean("mel-griffin-lim", quality)
        assert ours["l1"] <= l1 * theirs["l1"]
        assert ours["convergence"] <= convergence * theirs["convergence"]
        assert ours["onsets"] >= theirs["onsets"]


@st.composite
def spectrograms(draw):
    n_fft = draw(st.integers(16, 300))
    rate = draw(st.sampled_from([8000, 22_050, 48_000]))
    f_min = draw(st.floats(0, rate / 8))
    f_max = draw(st.one_of(st.none(), st.floats(rate / 4, rate / 2)))
    n_mels = draw(st.integers(1, 90))
    # Below this, settings are refused for what they cost.
    smallest = max(
        math.ceil(n_fft / MAX_OVERLAP),
        math.ceil(rate * n_mels / MAX_BANDS),
        math.ceil(rate * (n_fft // 2 + 1) / MAX_BINS),
    )
    hop = draw(st.integers(smallest, n_fft))
    power = draw(st.sampled_from([1.0, 1.5, 2.0]))
    return SpectrogramSettings(rate, n_fft, hop, n_mels, f_min, f_max, power)


@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
@settings(max_examples=40)
@given(
    spectrogram=spectrograms(),
    frames=st.integers(1, 12),
    loudness=st.sampled_from([0.0, 1.0, 14.0, 80.0]),
    seed=st.integers(0, 1000),
)
def test_every_setting_gives_finite_samples_of_the_right_length(
    spectrogram, frames, loudness, seed
):
    generator = torch.Generator().manual_seed(seed)
    mel = loudness * torch.rand(spectrogram.n_mels, frames, generator=generator)
    samples = invert_mel(mel, spectrogram, quality="fast")
    assert samples.shape == ((frames - 1) * spectrogram.hop_length,)
    assert samples.dtype == torch.float32
    assert samples.isfinite().all()


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (1000, 300), (600, 250), (512, 512)])
def test_the_level_is_right_whatever_the_transform(n_fft, hop, power):
    spectrogram = SpectrogramSettings(22_050, n_fft, hop, 60, power=power)
    samples = sound(1.0, 22_050)
    back = invert_mel(log_mel(samples, spectrogram), spectrogram)
    assert back.norm() == pytest.approx(samples.norm(), rel=0.25)


def test_silence_stays_silent():
    assert invert_mel(torch.zeros(128, 50), DEFAULT).abs().max() < 1e-3


def test_one_loud_frame_is_heard_where_it_is():
    mel = torch.zeros(128, 60)
    mel[:, 30] = 8.0
    energy = invert_mel(mel, DEFAULT).square()
    near = energy[27 * 512 : 33 * 512].sum()
    assert near > 0.9 * energy.sum()


def test_mels_a_million_times_as_loud_give_a_thousand_times_the_samples():
    mel = log_mel(sound(1.0), DEFAULT)
    loud = (mel.expm1() * 1e6).log1p()
    ratio = invert_mel(loud, DEFAULT).norm() / invert_mel(mel, DEFAULT).norm()
    assert ratio == pytest.approx(1000, rel=0.1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_samples_and_global_generators_are_left_alone():
    mel = log_mel(sound(0.5), DEFAULT)

    def state():
        return (
            torch.get_rng_state().tolist(),
            np.random.get_state(legacy=False)["state"]["key"].tolist(),
            random.getstate(),
        )

    before = state()
    for vocoder in ("mel-griffin-lim", "torchaudio"):
        one, other, different = (invert_mel(mel, DEFAULT, vocoder, seed=seed) for seed in (1, 1, 2))
        assert one.equal(other)
        assert not one.equal(different)
    assert state() == before


def test_takes_of_one_call_are_those_of_single_calls():
    mels = torch.stack([log_mel(sound(0.5), DEFAULT), smooth_mel()[:, :47]])
    together = invert_mel(mels, DEFAULT, quality="fast", seed=5)
    assert together[0].equal(invert_mel(mels[0], DEFAULT, quality="fast", seed=5))
    assert together[1].equal(invert_mel(mels[1], DEFAULT, quality="fast", seed=6))


def test_blocks_leave_no_trace(monkeypatch):
    mel = log_mel(sound(0.5), DEFAULT)
    whole = invert_mel(mel, DEFAULT, quality="fast")
    monkeypatch.setattr(griffin_lim, "BLOCK_FRAMES", 7)
    torch.testing.assert_close(invert_mel(mel, DEFAULT, quality="fast"), whole, atol=2e-3, rtol=0.0)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_transform(monkeypatch):
    """All spectra at once would be 65 MB; the waveform is 16 MB."""
    # Every iteration after the first needs the same memory.
    monkeypatch.setitem(griffin_lim.ITERATIONS, "fast", 3)
    mel = torch.rand(16, 8_000)
    spectrogram = SpectrogramSettings(n_mels=16)
    with torch.profiler.profile(profile_memory=True) as profile:
        invert_mel(mel, spectrogram, quality="fast")
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 20e6


def test_unknown_names_are_refused():
    mel = torch.zeros(128, 4)
    with pytest.raises(ValueError, match="quality must be one of fast, normal, best, not 'hasty'"):
        invert_mel(mel, DEFAULT, quality="hasty")
    with pytest.raises(
        ValueError, match="vocoder must be one of auto, trained, mel-griffin-lim, torchaudio"
    ):
        invert_mel(mel, DEFAULT, "theremin")


def test_work_can_be_stopped():
    def stop(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        griffin_lim.mel_griffin_lim(
            torch.zeros(128, 9), DEFAULT, np.random.default_rng(0), "fast", stop
        )


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [0, 50])
def test_seams_of_chunks_joined_as_spectra_are_not_heard(tabla, overlap):
    config = GenerationConfig(
        duration=30, seed=0, overlap=overlap, quality="fast", sampler="independent"
    )
    check_seams(load_model(tabla, "cpu"), config)


@pytest.mark.slow
def test_seams_of_continuing_chunks_are_not_heard():
    config = GenerationConfig(duration=30, seed=0, quality="fast", sampler="continue")
    check_seams(load_model(demo_model(), "cpu"), config)


def check_seams(model, config):
    """Look for clicks at 100 seams or more."""
    takes = list(generate_takes(model, config, 4))
    boundaries = takes[0].boundaries[:-1]
    assert len(takes) * len(boundaries) >= 100
    energy, step = seam_ratios([take.audio for take in takes], model.sample_rate, boundaries)
    assert energy <= 1.1
    assert step <= 1.1
