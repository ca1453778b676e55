"""The evaluation of a model: figures whose value is known, and the command."""

import json

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig, load_model
from distill_prior_gen.cli import cli
from distill_prior_gen.evaluation.closeness import measure_closeness, measure_takes
from distill_prior_gen.evaluation.rendering import compare, reconstruct
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.recording import Recording
from tests.helpers.models import add_vocoder, write_model

RATE = 8000


def tone(frequency, seconds=2.0):
    time = torch.arange(round(seconds * RATE)) / RATE
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(int(frequency)))
    return torch.sin(2 * torch.pi * frequency * time) * (-time).exp() + 0.02 * noise


@pytest.fixture
def model(tmp_path):
    return load_model(add_vocoder(write_model(tmp_path / "m.distill")), "cpu")


@pytest.fixture
def dataset(model):
    recordings = [Recording(f"{hz}.wav", tone(hz)) for hz in (200, 400, 800, 1600)]
    return Dataset(recordings[1:], recordings[:1], model.spectrogram, 0.5)


def test_a_sound_is_as_close_to_itself_as_possible(model):
    sound = tone(500)
    figures = compare(model, sound, sound)
    assert figures.pop("onsets") == pytest.approx(1)
    assert figures == pytest.approx(dict.fromkeys(figures, 0.0), abs=1e-5)
    quieter = compare(model, sound, 0.5 * sound)
    assert quieter["convergence"] == pytest.approx(0.5, abs=1e-4)
    assert quieter["flatness_db"] == pytest.approx(0, abs=0.01)
    worse = compare(model, sound, tone(900))
    assert worse["log_spectral_db"] > quieter["log_spectral_db"] > 0


def test_recordings_are_rendered_from_their_codes_by_each_vocoder(model):
    sounds = reconstruct(model, tone(500), ["trained", "mel-griffin-lim"])
    frames = model.spectrogram.frames(2 * RATE)
    for sound in sounds.values():
        assert len(sound) == (frames - 1) * model.spectrogram.hop_length
    assert not sounds["trained"].equal(sounds["mel-griffin-lim"])


def test_the_tables_have_all_groups_with_floor_and_ceiling(model, dataset):
    config = GenerationConfig(duration=3, seed=0, quality="fast")
    result = measure_closeness(
        model, dataset, config, 2, ["continue", "independent"], ["auto", "mel-griffin-lim"]
    )
    vocoders = ["trained", "mel-griffin-lim", "torchaudio"]
    assert [(row["recordings"], row["vocoder"]) for row in result.paired] == [
        (group, vocoder) for group in ("training", "held out") for vocoder in vocoders
    ]
    rows = {row["sound"]: row for row in result.unpaired}
    assert list(rows) == [
        "half of the recordings",
        *(f"recordings through their codes, {vocoder}" for vocoder in vocoders),
        *(f"takes, {s}, {v}" for s in ("continue", "independent") for v in vocoders),
        "white noise",
    ]
    assert rows["half of the recordings"]["kernel"] < rows["white noise"]["kernel"]
    take = rows["takes, continue, trained"]
    assert take["recordings"] == pytest.approx(3)
    assert 1 <= take["recordings_late"] <= 3
    assert json.loads(json.dumps(result.summary, allow_nan=False))
    # The vocoders render the same codes.
    assert result.novelty["continue"].summary["chunks"] % 2 == 0


def test_one_second_of_takes_has_no_distances(model, dataset):
    config = GenerationConfig(duration=1, seed=0, quality="fast")
    result = measure_closeness(model, dataset, config, 1, ["continue"], ["torchaudio"])
    rows = {row["sound"]: row for row in result.unpaired}
    assert set(rows["takes, continue, torchaudio"]) == {
        "sound", "recordings_early", "recordings_late", "recordings"
    }  # fmt: skip
    assert "kernel" in rows["white noise"]


def test_recordings_that_are_too_short_are_refused(model):
    recordings = [Recording(f"{hz}.wav", tone(hz, 0.3)) for hz in (200, 400, 800, 1600)]
    dataset = Dataset(recordings[1:], recordings[:1], model.spectrogram, 0.5)
    with pytest.raises(ValueError, match="have 3 seconds with sound; a comparison needs 4"):
        measure_closeness(model, dataset, GenerationConfig(), 1, ["continue"], ["torchaudio"])


def test_copies_and_parts_of_a_file_count_as_one_recording(model):
    parts = [Recording(name, tone(hz)) for name, hz in (("a", 200), ("a", 400), ("b", 400))]
    other = [Recording("c", tone(800)), Recording("d", tone(1600))]
    dataset = Dataset([*parts, *other], other, model.spectrogram, 0.5, copies=[["b", "c"]])
    config = GenerationConfig(duration=1, seed=0, quality="fast")
    result = measure_closeness(model, dataset, config, 1, ["continue"], ["torchaudio"])
    row = next(row for row in result.unpaired if row["sound"].startswith("takes"))
    # a, a, b = c and d, with two seconds each: shares of 0.4, 0.4 and 0.2
    assert row["recordings"] == pytest.approx(np.exp(-0.8 * np.log(0.4) - 0.2 * np.log(0.2)))


def test_former_names_of_samplers_are_known(model, dataset):
    config, names = GenerationConfig(duration=1, seed=0), ["autoregressive", "independent"]
    result = measure_closeness(model, dataset, config, 1, names, ["torchaudio"])
    assert list(result.novelty) == ["independent"]


def test_progress_is_reported_while_a_sound_is_rendered(model, dataset):
    reports = []
    config = GenerationConfig(duration=3, seed=0)
    measure_closeness(
        model, dataset, config, 2, ["continue", "independent"], ["mel-griffin-lim"],
        lambda share, text: reports.append((share, text)),
    )  # fmt: skip
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    for text in ("Rendering 400.wav...", "Rendering take 1 of 2...", "Comparing with the"):
        assert len({share for share, shown in reports if shown.startswith(text)}) > 1


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(5):
        samples = tone(200 * (number + 1)).numpy() * 0.5
        soundfile.write(folder / f"{number}.wav", samples, RATE)
    return folder


@pytest.mark.slow
def test_the_command_prints_tables_and_draws_a_picture(tmp_path, folder):
    path, picture = write_model(tmp_path / "m.distill"), tmp_path / "m-evaluation.png"
    arguments = ["evaluate", str(path), str(folder), "--takes", "2", "-d", "2", "-q"]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert {row["vocoder"] for row in summary["paired"]} == {"mel-griffin-lim", "torchaudio"}
    assert summary["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")

    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert f"{picture} exists" in result.stderr
    result = CliRunner().invoke(cli, [*arguments, "--force", "--vocoder", "torchaudio"])
    assert "takes, continue, torchaudio" in result.stdout
    assert "chunks are copies" in result.stdout


@pytest.mark.parametrize("option", ["--sampler", "--vocoder"])
def test_unknown_methods_are_named(tmp_path, folder, option):
    path = write_model(tmp_path / "m.distill")
    result = CliRunner().invoke(cli, ["evaluate", str(path), str(folder), option, "theremin"])
    assert result.exit_code == 1
    assert "not 'theremin'" in result.stderr
    assert not (tmp_path / "m-evaluation.png").exists()


def test_a_folder_without_recordings_is_an_error(tmp_path):
    path = write_model(tmp_path / "m.distill")
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(cli, ["evaluate", str(path), str(tmp_path / "empty")])
    assert result.exit_code == 1
    assert "holds no recordings" in result.stderr


def test_the_features_of_all_sounds_are_kept_for_the_picture(model, dataset):
    config = GenerationConfig(duration=2, seed=0, quality="fast")
    result = measure_closeness(model, dataset, config, 1, ["continue"], ["mel-griffin-lim"])
    assert next(iter(result.features)) == "recordings"
    assert len(result.features["recordings"]) == 6
    assert all(np.isfinite(f.rows).all() for f in result.features.values())
    assert result.example.name == "200.wav"
    assert list(result.example.sounds) == ["recording", "mel-griffin-lim", "torchaudio"]


def test_the_figures_of_a_few_takes_are_those_of_the_evaluation(model, dataset):
    reports = []
    figures = measure_takes(model, dataset, lambda share, text: reports.append(share))
    config = GenerationConfig(duration=5, seed=0)
    whole = measure_closeness(model, dataset, config, 8, ["auto"], ["auto"])
    rows = {row["sound"]: row for row in whole.unpaired}
    assert figures == {
        "takes": 8,
        "seconds": 5,
        "kernel": rows["takes, continue, trained"]["kernel"],
        "kernel_of_noise": rows["white noise"]["kernel"],
        "copies": whole.novelty["continue"].summary["copies"],
    }
    assert reports == sorted(reports)


def test_a_few_takes_are_not_compared_with_hardly_any_seconds(model):
    recordings = [Recording(f"{hz}.wav", tone(hz, 0.3)) for hz in (200, 400, 800, 1600)]
    dataset = Dataset(recordings[1:], recordings[:1], model.spectrogram, 0.5)
    assert measure_takes(model, dataset) is None
