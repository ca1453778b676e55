import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig, generate
from distill_prior_gen.cli import cli
from distill_prior_gen.config import no_progress
from distill_prior_gen.evaluation import novelty as novelty_module
from distill_prior_gen.evaluation.novelty import NO_RECORDING, Novelty, measure_novelty, nearest
from distill_prior_gen.sampling.chunks import Sampler
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.vqvae import encode


def noises(model, count: int) -> Dataset:
    recordings = [
        Recording(str(seed), torch.randn(8000, generator=torch.Generator().manual_seed(seed)))
        for seed in range(count)
    ]
    return Dataset(recordings[1:], recordings[:1], model.spectrogram, 0.5)


def test_the_nearest_chunk_is_of_another_recording():
    codes = torch.tensor([[[0], [0]], [[0], [1]], [[1], [1]]])  # [chunk, position, level]
    mels = torch.tensor([0.0, 1.0, 5.0])[:, None, None].expand(3, 2, 2)
    owners = torch.tensor([0, 0, 1])
    found = nearest(codes, mels, owners, codes, mels, owners)
    assert found["equal_codes"].tolist() == [0.0, 0.5, 0.5]
    assert found["mel_distance"].tolist() == [5.0, 4.0, 4.0]
    no_owner = torch.tensor([NO_RECORDING])
    made = nearest(codes[:1], mels[:1], no_owner, codes, mels, owners)
    assert made["equal_codes"].tolist() == [1.0]
    assert made["mel_distance"].tolist() == [0.0]


def test_copies_show_up(model, monkeypatch):
    """A model whose sampler plays the recordings back."""
    dataset = noises(model, 5)
    copies = encode(model.vqvae, dataset, dataset.cut(dataset.training))

    def play_back(model, config, chunks, progress):
        return copies[: len(chunks)]

    monkeypatch.setattr(novelty_module, "samplers", lambda: {"play-back": Sampler(play_back)})
    config = GenerationConfig(duration=2, seed=0, sampler="play-back")
    summary = measure_novelty(model, dataset, 1, config, no_progress).summary
    assert summary["copies"] == 1.0
    assert summary["takes"]["equal_codes"]["lowest"] == 1.0
    # Batches of other sizes are rounded otherwise.
    assert summary["takes"]["mel_distance"]["highest"] == pytest.approx(0, abs=1e-6)


def test_takes_that_are_new_are_not_copies(model):
    config = GenerationConfig(duration=2, seed=0)
    novelty = measure_novelty(model, noises(model, 5), 2, config, no_progress)
    assert novelty.summary["copies"] == 0.0
    takes = [generate(model, replace(config, seed=seed)) for seed in (0, 1)]
    assert len(novelty.takes["equal_codes"]) == sum(len(take.codes) for take in takes)


def test_outliers_are_farther_than_recordings_are_from_each_other():
    measures = {"equal_codes": torch.zeros(4), "mel_distance": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    summary = Novelty(takes=measures, recordings={
        "equal_codes": torch.zeros(2), "mel_distance": torch.tensor([0.5, 2.5])
    }).summary  # fmt: skip
    assert summary["outliers"] == 0.5
    assert summary["chunks"] == 4
    assert summary["takes"]["mel_distance"] == {"lowest": 1.0, "median": 2.5, "highest": 4.0}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 0.1, 8000)
        soundfile.write(folder / f"{seed}.wav", noise, 8000)
    return folder


@pytest.mark.slow
def test_the_command_prints_figures_and_draws_them(model_path, folder, tmp_path):
    picture = tmp_path / "n.png"
    arguments = ["novelty", str(model_path), str(folder), "--takes", "2", "-o", str(picture)]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert 0 <= summary["takes"]["equal_codes"]["median"] < 0.9
    assert summary["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")

    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert f"{picture} exists" in result.stderr
    result = CliRunner().invoke(cli, [*arguments, "--force"])
    assert "chunks are copies" in result.stdout


def test_a_folder_without_recordings_is_an_error(model_path, tmp_path):
    result = CliRunner().invoke(cli, ["novelty", str(model_path), str(tmp_path)])
    assert result.exit_code == 1
    assert "holds no recordings" in result.stderr
    assert not Path(tmp_path, "small-novelty.png").exists()
