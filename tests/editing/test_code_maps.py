import numpy as np
import pytest
import torch

from distill_prior_gen import (
    GenerationConfig,
    decode,
    encode,
    generate,
    invert_mel,
    load_model,
)
from distill_prior_gen.editing import code_maps
from distill_prior_gen.editing.code_maps import code_map, codes_on_grid
from tests.helpers.models import add_timeline, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("timeline") / "small.distill")
    return load_model(add_timeline(path), "cpu")


def noise(seconds, seed=0):
    wave = np.random.default_rng(seed).uniform(-1, 1, round(8000 * seconds))
    return (wave * np.linspace(0.2, 1, len(wave))).astype(np.float32)


def test_what_is_encoded_is_decoded_as_the_model_reconstructs_it(model):
    """A column is 16 frames of 64 samples; the last column is only led up to."""
    sound = noise(3)
    codes = encode(model, sound)
    padded = np.pad(sound, (0, 25 * 1024 - len(sound) + 256))
    mel = model.spectrogram.log_mel(torch.from_numpy(padded))[:, : 25 * 16]
    with torch.no_grad():
        expected = model.vqvae.encode(mel[None])[0].view(2, 25, 2)
        reconstruction = model.vqvae.decode(
            model.vqvae.codes_to_embeddings(expected.flatten(0, 1)[None], (2, 25)), 32, 400
        )[0]
    assert codes.equal(expected)
    config = GenerationConfig(seed=4, quality="fast", vocoder="mel-griffin-lim")
    take = decode(model, codes, config, samples=len(sound))
    frames = take.mel.shape[1]
    assert take.mel.allclose(reconstruction[:, :frames], atol=1e-4)
    expected_audio = invert_mel(take.mel, model.spectrogram, "mel-griffin-lim", "fast", seed=4)
    inside = slice(100, len(sound) - 100)
    np.testing.assert_allclose(
        take.audio[inside] / take.gain, expected_audio.numpy()[inside], atol=1e-5
    )
    assert len(take.audio) == len(sound)
    assert code_map(model, take)[1].equal(codes)


def test_a_long_sound_is_encoded_in_pieces(model, monkeypatch):
    sound = noise(20)
    whole = encode(model, sound)
    monkeypatch.setattr(code_maps, "PIECE_COLUMNS", 7)
    assert encode(model, sound).equal(whole)


def test_codes_of_a_take_are_kept_where_its_columns_lie_on_the_map(model):
    take = generate(model, GenerationConfig(duration=2, seed=1, quality="fast"))
    codes = code_map(model, take)[1]
    assert codes_on_grid(model, take, 0, take.gain).equal(codes)
    later = codes_on_grid(model, take, 3 * 1024, take.gain)
    assert later[:, 3:].equal(codes)
    between = codes_on_grid(model, take, 3 * 1024 + 100, take.gain)
    shifted = np.pad(take.audio / take.gain, (100, 0))
    assert between[:, 3:].equal(encode(model, shifted))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(2, 9, 2), "codes must be int64"),
        (torch.zeros(18, 2, dtype=torch.int64), "codes must be int64"),
        (torch.zeros(3, 9, 2, dtype=torch.int64), r"codes of small are \[2, columns, 2\]"),
        (torch.zeros(2, 0, 2, dtype=torch.int64), r"codes of small are \[2, columns, 2\]"),
        (torch.full((2, 9, 2), 16), "codes of small are from 0 to 15"),
        (torch.full((2, 9, 2), -1), "codes of small are from 0 to 15"),
    ],
)
def test_what_is_no_code_map_of_the_model_is_refused(model, codes, message):
    with pytest.raises(ValueError, match=message):
        decode(model, codes)


@pytest.mark.parametrize("samples", [0, 9 * 1024])
def test_a_take_is_as_long_as_its_codes_at_most(model, samples):
    with pytest.raises(ValueError, match="9 columns of codes are a take of 1 to"):
        decode(model, torch.zeros(2, 9, 2, dtype=torch.int64), samples=samples)


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros((2, 9)), np.full(9, np.nan)])
def test_what_is_no_sound_is_refused(model, sound):
    with pytest.raises(ValueError, match="samples must be one row of finite numbers"):
        encode(model, sound)
