"""Takes that start from a recording, and loops."""

import os

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, generate_takes, load_model
from distill_prior_gen.audio.griffin_lim import mel_griffin_lim
from distill_prior_gen.audio.joining import close_loop, resample_loop, stretched_frames
from distill_prior_gen.config import JOINS, no_progress
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation.metrics import change_metrics
from distill_prior_gen.plugins import vocoders
from distill_prior_gen.vocoding import Inversion
from tests.helpers.models import SMALL, write_model

ONE_FIXTURE = [HealthCheck.function_scoped_fixture]
RATE, COLUMN = 8000, 16 * 64
WINDOW = 3 * COLUMN
"""Samples that a chunk of the small model can take over."""


def sweep(seconds, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)


@pytest.fixture
def record(tmp_path):
    def write(samples, rate=RATE, name="sound.wav"):
        soundfile.write(tmp_path / name, samples, rate, subtype="FLOAT")
        return str(tmp_path / name)

    return write


@torch.no_grad()
def encoded(model, samples, frames):
    """The codes of samples, straight from the network."""
    mel = model.spectrogram.log_mel(torch.from_numpy(samples).float())
    return model.vqvae.encode(mel[None, :, :frames]).view(model.grid[0], -1, 2)


@pytest.mark.parametrize("sampler", ["continue", "independent"])
def test_a_take_begins_with_the_reconstruction_of_the_end_of_the_prompt(model, record, sampler):
    sound = sweep(2)
    config = GenerationConfig(prompt=record(sound), seed=1, duration=2, sampler=sampler)
    take = generate(model, config)
    end = sound[-WINDOW:]
    codes = encoded(model, end / np.abs(end).max(), 48)
    first = take.codes[0].unflatten(0, model.grid)
    assert first[:, :3].equal(codes)
    # Frames depend on their column and the next.
    reconstruction = model.decode_map(codes)
    torch.testing.assert_close(take.mel[:, :32], reconstruction[:, :32])
    other = generate(model, GenerationConfig(prompt=record(sound), seed=2, duration=2))
    assert other.codes[0].unflatten(0, model.grid)[:, :3].equal(codes)
    assert not other.codes.equal(take.codes[: len(other.codes)])


def test_a_short_prompt_is_whole_and_begins_at_once(model, record):
    sound = sweep(0.2)  # 1600 samples: a column and a half
    take = generate(model, GenerationConfig(prompt=record(sound), seed=1, duration=1))
    padded = np.concatenate([np.zeros(2 * COLUMN - 1600), sound / np.abs(sound).max()])
    codes = encoded(model, padded, 32)
    assert take.codes[0].unflatten(0, model.grid)[:, :2].equal(codes)
    skipped = (2 * COLUMN - 1600) // 64
    mel = model.decode_map(codes)[:, skipped:16]
    torch.testing.assert_close(take.mel[:, : 16 - skipped], mel)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=ONE_FIXTURE)
@given(
    rate=st.sampled_from([8000, 11_025, 22_050, 44_100, 96_000]),
    seconds=st.floats(0.001, 2),
    level=st.sampled_from([1e-3, 1.0, 100.0]),
    channels=st.integers(1, 3),
    vary=st.one_of(st.none(), st.floats(0, 1)),
)
def test_any_recording_can_be_continued_or_varied(
    model, record, rate, seconds, level, channels, vary
):
    noise = np.random.default_rng(0).normal(size=(max(1, round(rate * seconds)), channels))
    config = GenerationConfig(prompt=record(level * noise, rate), seed=0, duration=1, vary=vary)
    take = generate(model, config)
    assert np.isfinite(take.audio).all()
    given = take.prompt.codes
    first = take.codes.unflatten(1, model.grid)[0][:, : given.shape[1]]
    changed = (first != given).any(dim=-1).sum()
    if vary is None:
        assert changed == 0
        assert len(take.audio) == 8000
    else:
        assert changed <= round(vary * given[..., 0].numel())
        assert len(take.audio) == pytest.approx(min(4000, len(noise) * 8000 / rate), abs=65)


def test_a_quiet_prompt_is_as_good_as_a_loud_one(model, record):
    takes = [
        generate(model, GenerationConfig(prompt=record(gain * sweep(1)), seed=0, duration=1))
        for gain in (1, 0.003)
    ]
    assert takes[0].codes.equal(takes[1].codes)


def test_a_prompt_is_as_loud_as_the_end_of_its_recording(model, record):
    """A tail that has died away does not come back at full scale, and silence is cut off."""
    room = 1e-4 * np.random.default_rng(0).normal(size=2 * RATE)
    sound = np.concatenate([sweep(2), 0.1 * sweep(1), np.zeros(2 * RATE)])
    for recording in (sound, sound + np.concatenate([np.zeros(3 * RATE), room])):
        take = generate(model, GenerationConfig(prompt=record(recording), seed=1, duration=1))
        samples = take.prompt.samples.numpy()
        assert np.abs(samples).max() == pytest.approx(0.1, abs=1e-3)
        end = 0.1 * sweep(1)[-WINDOW:] / 0.3
        assert samples[: -RATE // 50] == pytest.approx(end[: -RATE // 50], abs=0.01)


def test_a_take_can_begin_with_the_recording_itself(model, record):
    sound, overlap = sweep(1), 400
    settings = {"prompt": record(sound), "seed": 1, "duration": 2}
    plain = generate(model, GenerationConfig(**settings)).audio
    take = generate(model, GenerationConfig(**settings, prompt_crossfade=True)).audio
    end = sound[-WINDOW:] / np.abs(sound[-WINDOW:]).max()
    start = round(0.002 * model.sample_rate)  # over which a take fades in
    heard = slice(start, WINDOW - overlap)
    assert take[heard] == pytest.approx(end[heard], abs=1e-6)
    assert (take[WINDOW:] == plain[WINDOW:]).all()
    fade = np.cos(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    place = slice(WINDOW - overlap, WINDOW)
    assert take[place] == pytest.approx(fade * end[-overlap:] + (1 - fade) * plain[place], abs=1e-5)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=ONE_FIXTURE)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(100, 9000),
    noise=st.floats(0, 1),
    level=st.floats(1e-3, 1),
)
@torch.no_grad()
def test_to_vary_nothing_is_the_reconstruction(model, record, seed, length, noise, level):
    sound = sweep(2)[:length] + noise * np.random.default_rng(seed).normal(size=length)
    sound = (level * sound).astype("float32")
    take = generate(model, GenerationConfig(prompt=record(sound), vary=0, seed=seed))
    end = sound[-4000:] / np.abs(sound).max()
    chunk = torch.from_numpy(np.pad(end, (0, 4000 - len(end))))
    mel = model.spectrogram.log_mel(chunk)[None]
    codes = model.vqvae.encode(mel)
    assert take.codes.equal(codes)
    embeddings = model.vqvae.codes_to_embeddings(codes, model.grid)
    expected = model.vqvae.decode(embeddings, *mel.shape[1:])[0]
    torch.testing.assert_close(take.mel, expected[:, : take.mel.shape[1]])


@pytest.mark.slow
def test_so_many_codes_are_varied_as_was_asked_for(model, record):
    path = record(sweep(1))

    def codes(vary):
        return generate(model, GenerationConfig(prompt=path, vary=vary, seed=3)).codes[0]

    original, places = codes(0), 8
    for vary in (0.25, 0.5, 1.0):
        changed = (codes(vary) != original).any(dim=1)
        assert 0 < changed.sum() <= vary * places
    seeds = [
        generate(model, GenerationConfig(prompt=path, vary=0.5, seed=seed)).codes[0]
        for seed in range(20)
    ]
    changes = torch.stack([(other != original).any(dim=1) for other in seeds]).float().mean(dim=0)
    assert changes.min() > 0.1


def test_only_what_sounds_is_varied(model, record):
    """The rest of the chunk is silence, and stays what silence is."""
    path = record(sweep(0.1))
    original, new = (
        generate(model, GenerationConfig(prompt=path, vary=vary, seed=3)).codes[0]
        for vary in (0.0, 1.0)
    )
    assert original.unflatten(0, model.grid)[:, 1:].equal(new.unflatten(0, model.grid)[:, 1:])
    assert not original.equal(new)


@pytest.mark.posix
def test_a_bad_prompt_is_named(model, record, tmp_path):
    text = tmp_path / "song.wav"
    text.write_text("la la la")
    os.mkfifo(tmp_path / "pipe.wav")
    for path, message in [
        (text, r"song\.wav cannot be read"),
        (record(np.zeros(0), name="none.wav"), r"none\.wav is empty"),
        (record(np.zeros(9000), name="still.wav"), r"still\.wav is silent; choose a recording"),
        (tmp_path / "pipe.wav", r"pipe\.wav is a device or a pipe"),
        (
            record(np.full(9000, np.nan), name="nan.wav"),
            r"nan\.wav has samples that are not finite",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            generate(model, GenerationConfig(prompt=str(path)))
    with pytest.raises(ValueError, match=r"^nowhere\.wav cannot be read: there is no such file"):
        generate(model, GenerationConfig(prompt="nowhere.wav"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vary": 0.5}, "vary needs a prompt"),
        ({"prompt_crossfade": True}, "prompt_crossfade needs a prompt"),
        ({"prompt": "a", "vary": 0.5, "loop": True}, "vary and loop do not go together"),
        ({"prompt": "a", "vary": 0.5, "prompt_crossfade": True}, "vary and prompt_crossfade"),
        ({"prompt": "a", "loop": True, "prompt_crossfade": True}, "loop and prompt_crossfade"),
        ({"prompt": 7}, "prompt must be the path of a recording, not 7"),
        ({"loop": 1}, "loop must be True or False, not 1"),
        ({"temperature": (1.0, "2")}, "temperature must be a number from 0.1 to 2, not '2'"),
        ({"temperature": ()}, r"temperature must be a number from 0.1 to 2, not \(\)"),
        ({"top_k": (1, 2.5)}, "top_k must be a whole number from 0 to 512, not 2.5"),
        ({"temperature_end": (1, 3)}, "temperature_end must be a number from 0.1 to 2, not 3"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**settings)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    duration=st.floats(1, 3),
    sampler=st.sampled_from(["continue", "independent"]),
    join=st.sampled_from(JOINS),
    overlap=st.sampled_from([0, 50, 200]),
    vocoder=st.sampled_from(["mel-griffin-lim", "torchaudio"]),
)
def test_a_loop_has_the_length_that_was_asked_for(model, duration, sampler, join, overlap, vocoder):
    take = generate(
        model,
        GenerationConfig(
            loop=True, duration=duration, sampler=sampler, join=join, overlap=overlap,
            vocoder=vocoder, quality="fast", seed=0,
        ),
    )  # fmt: skip
    assert len(take.audio) == round(duration * 8000)
    assert np.isfinite(take.audio).all()


def test_the_last_chunk_of_a_loop_is_held_to_the_first(model):
    """To its last column: the others are drawn again on the way round."""
    for duration in (1, 1.7, 4):
        take = generate(model, GenerationConfig(loop=True, duration=duration, seed=2))
        chunks = take.codes.unflatten(1, model.grid)
        assert chunks[-1][:, 2].equal(chunks[0][:, 2])
        # On the map stands what the last chunk drew, and all of it in a circle.
        ((_, codes),) = take.layout.maps(chunks)
        assert codes.shape[1] == round(duration * 8000 / COLUMN)
        assert codes[:, :2].equal(chunks[-1][:, :2])
        assert codes[:, 2].equal(chunks[0][:, 2])
        mel = model.decode_map(codes.roll(-1, dims=1), loop=True).roll(16, dims=1)
        unchanged = [*range(16), *range(32, mel.shape[1])]
        torch.testing.assert_close(take.mel[:, unchanged], mel[:, unchanged])
        # The second column fades into what the first chunk was.
        first = model.decode_map(chunks[0][:, :3])[:, 16:32].expm1()
        share = (1 - torch.cos(torch.pi * (torch.arange(16) + 0.5) / 16)) / 2
        faded = (1 - share) * mel[:, 16:32].expm1() + share * first
        torch.testing.assert_close(take.mel[:, 16:32].expm1(), faded)


def test_a_loop_keeps_the_beginning_of_its_prompt(model, record):
    take = generate(model, GenerationConfig(prompt=record(sweep(2)), loop=True, duration=2, seed=1))
    end = sweep(2)[-WINDOW:]
    ((_, codes),) = take.layout.maps(take.codes.unflatten(1, model.grid))
    assert codes[:, :3].equal(encoded(model, end / np.abs(end).max(), 48))


@pytest.mark.parametrize("samples", [500, 1500, 2100])
@pytest.mark.parametrize("sampler", ["continue", "independent"])
def test_a_loop_begins_with_sound_however_short_its_prompt(model, record, samples, sampler):
    """What a short prompt lacks of whole columns is filled with itself, not with silence."""
    sound = sweep(1)[:samples]
    config = GenerationConfig(
        prompt=record(sound), loop=True, duration=2, seed=1, sampler=sampler, quality="fast"
    )
    take = generate(model, config)
    columns = -(-samples // COLUMN)
    filled = np.tile(sound / np.abs(sound).max(), 3)[-columns * COLUMN :]
    codes = encoded(model, filled, 16 * columns)
    assert take.codes[0].unflatten(0, model.grid)[:, :columns].equal(codes)
    assert take.layout.trim_start == 0


def test_a_loop_that_is_too_short_for_the_model_is_refused(tmp_path):
    model = load_model(write_model(tmp_path / "long.distill", chunk_duration=2.0), "cpu")
    with pytest.raises(ValueError, match=r"a loop of small must last 1\.92 s at least; make it"):
        generate(model, GenerationConfig(loop=True, duration=1))
    assert len(generate(model, GenerationConfig(loop=True, duration=2, seed=0)).audio) == 16_000


@pytest.mark.slow
@pytest.mark.parametrize("duration", [2, 5])
def test_loops_turn_as_smoothly_as_they_run(duration):
    """The change across the loop point is no greater than elsewhere, in the mel that sounds."""
    model = load_model(demo_model(), "cpu")
    figures = []
    config = GenerationConfig(loop=True, duration=duration, seed=0, vocoder="mel-griffin-lim")
    for take in generate_takes(model, config, 16):
        turns = torch.from_numpy(np.tile(take.audio, 4))
        mel = model.spectrogram.log_mel(turns)[:, :-1]
        figures.append(change_metrics(mel, [turn * mel.shape[1] / 4 for turn in (1, 2, 3)], 16))
    border, inside = (np.mean([f[key] for f in figures]) for key in ("border", "inside"))
    assert border < 1.1 * inside
    jump, jump_inside = (np.mean([f[key] for f in figures]) for key in ("jump", "jump_inside"))
    assert jump < 1.1 * jump_inside


@pytest.mark.slow
def test_loops_of_the_trained_vocoder_turn_as_they_run():
    """The change around the loop point is like that around the other columns of codes."""
    model, columns, changes = load_model(demo_model(), "cpu"), 29, []
    config = GenerationConfig(loop=True, duration=5, seed=0, vocoder="trained")
    for take in generate_takes(model, config, 16):
        mel = model.spectrogram.log_mel(torch.from_numpy(np.tile(take.audio, 3)))[:, :-1]
        frames = mel.shape[1] // 3
        changes.append(mel.diff(dim=1).abs().mean(dim=0)[frames : 2 * frames].numpy())
    change = np.mean([c[: min(map(len, changes))] for c in changes], axis=0)
    around = np.array(
        [np.roll(change, 8 - n * len(change) // columns)[:16].mean() for n in range(columns)]
    )
    assert around[0] < around[1:].mean() + 3 * around[1:].std()


@pytest.mark.parametrize("vocoder", ["mel-griffin-lim", "torchaudio"])
def test_the_waveform_of_a_loop_does_not_click(vocoder):
    """A steady tone, whose samples step no more where the loop turns than elsewhere."""
    frames = 125
    time = torch.arange(frames * 64) / RATE
    mel = SMALL.log_mel((0.5 * torch.sin(2 * torch.pi * 1000 * time)).tile(3))
    mel = mel[:, frames : 2 * frames]
    inversion = Inversion(mel, SMALL, np.random.default_rng(0), "normal", no_progress)
    samples = inversion.invert_loop(vocoders()[vocoder], 8000, 400)
    assert len(samples) == frames * 64
    steps = samples.tile(2).diff().abs()
    assert (
        steps[len(samples) - 2 : len(samples) + 1].max() <= 1.05 * steps[: len(samples) - 2].max()
    )


def test_circular_inversion_fits_the_mel_of_the_loop_everywhere():
    generator = torch.Generator().manual_seed(0)
    sound = torch.randn(6400, generator=generator) * torch.linspace(1, 0.1, 6400)
    mel = SMALL.log_mel(sound.tile(3))[:, 100:200]
    samples = mel_griffin_lim(
        mel, SMALL, np.random.default_rng(0), "best", no_progress, loop_samples=6400
    )
    assert samples.shape == (6400,)
    error = (SMALL.log_mel(samples.tile(3))[:, 100:200] - mel).abs().mean(dim=0)
    at_turn = torch.cat([error[:4], error[-4:]]).mean()
    assert at_turn < 1.5 * error[10:-10].mean()
    # Taken for a sound that ends, it fits the turn far worse.
    plain = mel_griffin_lim(mel, SMALL, np.random.default_rng(0), "best", no_progress)
    wrong = (SMALL.log_mel(plain.tile(3))[:, 99:198] - mel[:, :99]).abs().mean(dim=0)
    assert torch.cat([wrong[:4], wrong[-4:]]).mean() > 2 * at_turn


@given(length=st.integers(400, 3000), overlap=st.integers(0, 200), value=st.floats(-1, 1))
def test_a_constant_is_a_loop_of_itself(length, overlap, value):
    closed = close_loop(torch.full((2, length), value), overlap)
    torch.testing.assert_close(closed, torch.full((2, length - overlap), value))


def test_the_end_of_a_loop_goes_on_in_its_beginning():
    ramp = torch.arange(1000.0)
    closed = close_loop(ramp, 100)
    assert (closed[100:] == ramp[100:900]).all()
    assert closed[0] == pytest.approx(900, abs=0.1)  # follows on 899
    assert closed[99] == pytest.approx(99, abs=0.1)


@given(cycles=st.integers(1, 50), change=st.integers(-20, 20))
def test_a_tone_is_resampled_as_a_tone(cycles, change):
    before, after = 2000, 2000 + change
    tone = torch.sin(2 * torch.pi * cycles * torch.arange(before) / before)
    expected = torch.sin(2 * torch.pi * cycles * torch.arange(after) / after)
    torch.testing.assert_close(resample_loop(tone, after), expected, atol=1e-4, rtol=0)


@given(frames=st.integers(1, 60), wanted=st.integers(1, 60))
def test_a_loop_is_stretched_evenly(frames, wanted):
    mel = torch.arange(float(frames))[None]
    stretched = mel[:, stretched_frames(mel.shape[1], wanted)][0]
    ideal = torch.arange(wanted) * frames / wanted
    assert len(stretched) == wanted
    assert ((ideal - stretched) >= -1e-4).all()
    assert ((ideal - stretched) < 1).all()
