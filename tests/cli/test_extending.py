"""Training that begins with an existing model, previews, and model cards."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import read_checkpoint, replace_prior
from distill_prior_gen.checkpoint.card import describe_takes, model_card
from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.checkpoint.provenance import (
    EVALUATION,
    PROVENANCE,
    read_evaluation,
    read_provenance,
)
from distill_prior_gen.checkpoint.writing import save_contents
from distill_prior_gen.cli import cli
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.training import data, timeline, vocoder
from distill_prior_gen.training.data import read_dataset
from distill_prior_gen.training.extending import FormerModel
from distill_prior_gen.training.previews import Previews
from distill_prior_gen.training.provenance import read_tags
from distill_prior_gen.training.resuming import recording_digests
from distill_prior_gen.training.timeline import _take_over
from distill_prior_gen.training.vqvae import reconstruction_error
from tests.cli.test_resuming import SHORT, write_sounds
from tests.helpers.models import SMALL, add_timeline, add_vocoder, write_model
from tests.training.test_training import sound


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)
    monkeypatch.setattr(timeline, "EPOCH_STEPS", 2)
    monkeypatch.setattr(vocoder, "EPOCH_STEPS", 2)
    write_sounds(tmp_path / "sounds")

    def invoke(*arguments):
        return CliRunner().invoke(cli, list(map(str, arguments)))

    return invoke


@pytest.fixture
def former(run):
    """A model with all networks, at a low sample rate, that names four recordings."""
    path = add_vocoder(add_timeline(write_model(Path("former.distill")), recordings=4))
    contents = dict(read_checkpoint(path).contents)
    contents["timeline_metadata"] = {"recordings": ["1.wav", "2.wav", "gone.wav", "3.wav"]}
    torch.save(contents, path)
    return path


EPOCHS = ("--epochs", 1, "--prior-epochs", 1, "--timeline-epochs", 1, "--vocoder-epochs", 1)
FROM = ("train", "sounds", "-o", "m.distill", "--from", "former.distill", "--device", "cpu")


@pytest.mark.slow
def test_all_networks_of_a_model_are_trained_further(run, former):
    result = run(*FROM, *EPOCHS, "--json", "--learning-rate", 1e-6, "--prior-learning-rate", 1e-6)
    assert result.exit_code == 0, result.stderr
    before, after = read_checkpoint(former), read_checkpoint("m.distill")
    assert after.spectrogram == before.spectrogram == SMALL
    assert after.chunk_samples == before.chunk_samples
    for shape in ("vqvae_shape", "prior_shape"):
        assert getattr(after, shape) == getattr(before, shape)
    assert after.timeline_shape == before.timeline_shape | {"recordings": 5}
    for state in ("vqvae_state", "prior_state"):
        old, new = getattr(before, state), getattr(after, state)
        for name in (n for n, t in old.items() if n.endswith("weight") and t.ndim > 1):
            assert torch.allclose(new[name], old[name], atol=1e-3), name
    memory = json.loads(result.stdout)["memory"]
    assert (memory["recordings"], memory["old"]["recordings"]) == (4, 3)
    assert memory["new"]["recordings"] == 3
    assert "3 of the 4 recordings of former.distill are in the folder: mel error" in result.stderr


def test_errors_of_old_and_new_recordings_are_told_apart(former, tmp_path):
    model = FormerModel(read_checkpoint(former))
    dataset = read_dataset(tmp_path / "sounds", SMALL, 0.5)
    vqvae = model.checkpoint.build_vqvae()
    with torch.no_grad():
        vqvae.decoder.proj.bias.add_(0.5)
    memory = model.compare(vqvae, dataset, recording_digests(dataset))
    old = [r for r in dataset.recordings if r.name in ("1.wav", "2.wav", "3.wav")]
    assert memory.old.before == reconstruction_error(model.checkpoint.build_vqvae(), dataset, old)
    assert memory.old.after == reconstruction_error(vqvae, dataset, old)
    assert memory.old.before != memory.old.after


def test_recordings_are_known_by_their_sound_if_the_file_tells_it(former, tmp_path):
    dataset = read_dataset(tmp_path / "sounds", SMALL, 0.5)
    digests = recording_digests(dataset)
    contents = dict(read_checkpoint(former).contents)
    told = {"name": "1.wav", "seconds": 1, "held_out_seconds": 0, "sha256": digests["4.wav"]}
    contents[PROVENANCE] = {"command": "", "seed": 0, "recordings": [told]}
    torch.save(contents, former)
    model = FormerModel(read_checkpoint(former))
    assert [name for name in digests if model.knows(name, digests[name])] == ["4.wav"]


def test_known_recordings_keep_their_embeddings(former):
    initial = read_checkpoint(former).build_timeline()
    shape = read_checkpoint(former).timeline_shape | {"recordings": 3}
    network = TimelineNetwork(**shape)
    fresh = network.recording.weight.detach().clone()
    _take_over(network, ["3.wav", "new.wav", "1.wav"], initial, ["1.wav", "2.wav", "x", "3.wav"])
    rows, known = network.recording.weight, initial.recording.weight
    assert rows[0].equal(known[3])
    assert rows[1].equal(fresh[1])
    assert rows[2].equal(known[0])
    assert rows[3].equal(known[4])  # the recording is left open
    assert network.head.weight.equal(initial.head.weight)


@pytest.mark.parametrize(
    ("option", "value", "size"),
    [("--codebook-size", 8, 16), ("--levels", 3, 2), ("--codebook-dim", 4, 8), ("--heads", 4, 2)],
)
def test_options_that_contradict_the_model_are_refused(run, former, option, value, size):
    result = run(*FROM, option, value)
    assert result.exit_code == 2
    assert f"{option} is {value}, but former.distill has {size}; leave it out" in result.stderr


def test_a_model_is_not_replaced_by_what_begins_with_it(run, former):
    result = run("train", "sounds", "-o", "./former.distill", "--from", former, "--force")
    assert result.exit_code == 1
    assert "--from and --output are both former.distill; choose another name" in result.stderr


@pytest.mark.slow
def test_previews_are_written_and_change_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    short = (*SHORT, "--timeline-epochs", 1, "--vocoder-epochs", 1)
    command = ("train", "sounds", "-o", "m.distill", *short)
    assert run(*command).exit_code == 0
    plain = Path("m.distill").read_bytes()
    result = run(*command, "--preview-every", 1, "--force")
    assert result.exit_code == 0, result.stderr
    assert Path("m.distill").read_bytes() == plain
    names = sorted(os.listdir("m-previews"))
    assert names == [
        "0-recording.wav",
        *(f"1-vqvae-0000{epoch}.wav" for epoch in range(2, 6)),  # with codes
        *("2-prior-00001.wav", "2-prior-00002.wav"),
        *("3-timeline-00001.wav", "4-vocoder-00001.wav"),
    ]
    for name in names:
        samples, rate = soundfile.read(Path("m-previews", name))
        assert rate == SpectrogramSettings().sample_rate
        seconds = 3.0 if "prior" in name or "timeline" in name else 0.8
        assert len(samples) / rate == pytest.approx(seconds, abs=0.05)
        assert np.abs(samples).max() > 0.01
    Path("n-previews").mkdir()
    refused = run("train", "sounds", "-o", "n.distill", "--preview-every", 2)
    assert refused.exit_code == 1
    assert "n-previews exists; choose another name or add --force" in refused.stderr


@pytest.mark.posix
def test_previews_that_cannot_be_written_do_not_end_the_training(tmp_path, run):
    dataset = read_dataset(tmp_path / "sounds", SMALL, 0.5)
    (tmp_path / "file").write_text("no folder")
    previews = Previews(tmp_path / "file" / "previews", dataset, 1)
    vqvae = read_checkpoint(write_model(Path("x.distill"))).build_vqvae()
    previews.epoch_done("VQ-VAE", [0.5], [0.5], vqvae)
    assert "part of the path is a file" in previews.failure


# Model cards


@pytest.mark.slow
def test_the_card_tells_recordings_command_and_figures(run, tmp_path):
    with soundfile.SoundFile("sounds/0.flac", "w", 8000, 1) as file:
        file.title, file.artist, file.license = "A | bell", "<b>Ann</b> *Ex*", "CC BY 4.0"
        file.write(sound(9, 0.8))
    command = ("train", tmp_path / "sounds", "-o", tmp_path / "m.distill", "--no-vocoder", *SHORT)
    Path("m.md").write_text("of another")
    refused = run(*command, "--no-timeline", "--seed", 7)
    assert refused.exit_code == 1
    assert "m.md exists; choose another name or add --force" in refused.stderr
    assert Path("m.md").read_text() == "of another"
    result = run(*command, "--no-timeline", "--seed", 7, "--force")
    assert result.exit_code == 0, result.stderr
    card = Path("m.md").read_text()
    assert card.startswith("# m\n\nA model of 7 recordings, 5.6 seconds in total, of which ")
    assert "![Losses, and held-out chunks with their reconstructions](<m.png>)" in card
    row = next(line for line in card.splitlines() if line.startswith("| 0.flac |"))
    cells = ["A \\| bell", "&lt;b&gt;Ann&lt;/b&gt; \\*Ex\\*", "CC BY 4.0"]
    assert row.endswith(f"| {' | '.join(cells)} |")
    assert "\ndistill-prior train sounds -o m.distill --codebook-size 8" in card
    assert str(tmp_path) not in card
    assert "The seed is 7." in card
    assert "| mel error of held-out recordings | " in card
    assert "| distance of takes from the recordings | " in card
    printed = run("info", "--card", "m.distill").stdout
    assert printed == card.replace(card[card.index("![") : card.index("## Recordings")], "")


def test_a_model_without_an_origin_has_a_card(run, former):
    card = run("info", "--card", former).stdout
    assert "A model of recordings that its file does not list" in card
    assert "| codes | 16 x 2 levels, 2 bands x 4 steps a chunk |" in card
    both = run("info", "--card", "--json", former)
    assert both.exit_code == 2
    assert "give --card or --json, not both" in both.stderr


GOOD = {"name": "a.wav", "seconds": 1.5, "held_out_seconds": 0, "sha256": "ab", "author": "Ann"}


def origin(*recordings, **other):
    return {PROVENANCE: {"command": "train", "seed": 1, "recordings": list(recordings)} | other}


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {PROVENANCE: []},
        origin(GOOD, command=1),
        origin(GOOD, seed="1"),
        origin(GOOD, recordings={}),
        origin(GOOD, 1),
        origin(GOOD | {"seconds": float("nan")}),
        origin(GOOD | {"seconds": True}),
        origin(GOOD | {"held_out_seconds": -1}),
        origin(GOOD | {"author": 1}),
        origin({key: value for key, value in GOOD.items() if key != "sha256"}),
    ],
)
def test_an_origin_that_makes_no_sense_is_not_shown(contents):
    assert read_provenance(contents) is None


FIGURES = {"takes": 8, "seconds": 5.0, "kernel": 2.5, "kernel_of_noise": 80, "copies": 0.01}


def test_figures_of_takes_are_read_strictly_and_dropped_with_their_networks(tmp_path, former):
    assert read_evaluation({EVALUATION: FIGURES | {"unknown": 1}}) == FIGURES
    no_numbers: list[Any] = [FIGURES | {"kernel": "2"}, FIGURES | {"copies": float("nan")}]
    for wrong in [{}, [], 1, *no_numbers]:
        assert read_evaluation({EVALUATION: wrong}) is None
    checkpoint = read_checkpoint(former)
    rows = describe_takes(FIGURES)
    assert rows[0][1] == "2.5; of white noise 80.0"
    assert rows[1][1] == "1%, of 8 takes of 5 s"
    save_contents(former, checkpoint.contents | {EVALUATION: FIGURES}, overwrite=True)
    assert all(text in model_card(describe_model(former)) for _, text in rows)
    replace_prior(former, checkpoint.build_prior())
    assert describe_model(former)["evaluation"] is None


def test_texts_of_an_origin_are_printable_and_short():
    told = read_provenance(origin(GOOD | {"author": "\x1b[2J" + "n" * 999, "unknown": 1}))
    (recording,) = told["recordings"]
    assert recording["author"].startswith("\\x1b[2Jnnn")
    assert len(recording["author"]) == 200
    assert "unknown" not in recording


def test_files_without_tags_tell_nothing(tmp_path):
    assert read_tags(tmp_path / "gone.wav") == {}
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert read_tags(tmp_path / "broken.wav") == {}
