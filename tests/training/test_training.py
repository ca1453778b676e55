import json
import math
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from torch.optim.optimizer import register_optimizer_step_pre_hook

from distill_prior_gen import (
    GenerationConfig,
    PriorSettings,
    VQVAESettings,
    generate,
    generate_takes,
    load_model,
    read_dataset,
    save_model,
    train_prior,
    train_vqvae,
)
from distill_prior_gen.checkpoint import (
    ModelFileError,
    read_checkpoint,
    replace_prior,
)
from distill_prior_gen.cli import cli
from distill_prior_gen.config import no_progress
from distill_prior_gen.training import data
from distill_prior_gen.training import prior as prior_module
from distill_prior_gen.training.loop import (
    TrainingHistory,
    learning_rate_factor,
    train_network,
)
from distill_prior_gen.training.prior import cross_entropy, overfitting_warnings
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.vqvae import codebook_health, reconstruction_error
from tests.helpers.models import SMALL, write_model

VQVAE = VQVAESettings(
    codebook_size=16, levels=2, codebook_dim=16, epochs=10, batch_size=8, learning_rate=0.01
)
PRIOR = PriorSettings(hidden_size=32, layers=2, heads=2, epochs=6, batch_size=8, learning_rate=0.01)


def sound(index: int, seconds: float = 1.5, rate: int = 8000) -> np.ndarray:
    """A tone that decays, over a little noise; every fourth has nearly the same pitch."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(index).normal(0, 0.01, len(time))
    tone = np.sin(2 * np.pi * (200 * 1.5 ** (index % 4) + 2 * (index // 4)) * time)
    return (0.5 * tone * np.exp(-time) + noise).astype("float32")


@pytest.fixture(scope="module", autouse=True)
def short_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "MIN_EPOCH_CHUNKS", 32)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for index in range(8):
        soundfile.write(folder / f"{index}.wav", sound(index), 8000)
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return read_dataset(folder, SMALL, chunk_duration=0.5)


@pytest.fixture(scope="module")
def vqvae(dataset):
    return train_vqvae(dataset, VQVAE, "cpu")


@pytest.fixture(scope="module")
def prior(vqvae, dataset):
    return train_prior(vqvae.vqvae, dataset, PRIOR, "cpu")


@pytest.fixture(scope="module")
def trained(vqvae, prior, dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "tones.distill"
    save_model(path, dataset, vqvae, prior)
    return path


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Recordings


def test_every_format_rate_and_channel_count_is_read_as_the_same_sound(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100 * 2) / 44_100) * 0.5
    soundfile.write(tmp_path / "a.wav", tone, 44_100)
    soundfile.write(tmp_path / "b.flac", np.stack([tone, tone], 1), 44_100)
    soundfile.write(tmp_path / "c.OGG", tone, 44_100)
    soundfile.write(tmp_path / "d.mp3", np.stack([tone, tone], 1), 44_100)
    soundfile.write(tmp_path / "e.aiff", tone[::2], 22_050)
    (tmp_path / "notes.txt").write_text("not a sound")
    dataset = read_dataset(tmp_path, SMALL)
    assert dataset.copies == [["a.wav", "b.flac", "c.OGG", "d.mp3", "e.aiff"]]
    assert dataset.seconds == pytest.approx(10, abs=0.2)  # MP3 adds some
    for recording in dataset.recordings:
        spectrum = np.abs(np.fft.rfft(recording.samples[500:2500]))
        assert np.argmax(spectrum) == 110  # a line every four hertz
        assert recording.samples.abs().max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.posix
def test_files_that_cannot_be_used_are_named(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "broken.wav").write_bytes(b"RIFF, but no more")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(8000), 8000)
    dataset = read_dataset(tmp_path, SMALL)
    assert dataset.skipped_files.keys() == {"broken.wav", "quiet.wav"}
    assert "cannot be read" in dataset.skipped_files["broken.wav"]
    assert dataset.skipped_files["quiet.wav"] == "is silent"
    assert len(dataset.recordings) == 8


@pytest.mark.posix
def test_too_few_recordings_are_an_error_that_names_what_was_left_out(folder, tmp_path):
    for name in ("1.wav", "2.wav"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "broken.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has 2 usable .* takes 5 to 500; broken\.wav is empty"):
        read_dataset(tmp_path, SMALL)


def test_a_file_is_either_trained_on_or_held_out(folder, dataset, tmp_path):
    training, validation = (
        {recording.name for recording in part} for part in (dataset.training, dataset.validation)
    )
    assert not training & validation
    assert training | validation == {f"{index}.wav" for index in range(8)}
    assert len(validation) == 2
    # The names alone decide, so that a prior trained later holds out the same files.
    for index in range(8):
        soundfile.write(tmp_path / f"{index}.wav", sound(9 - index), 8000)
    again = read_dataset(tmp_path, SMALL)
    assert {recording.name for recording in again.validation} == validation


def test_chunks_cover_a_recording_and_leave_silence_out(dataset):
    ramp = torch.linspace(1, 2, 10_000)
    chunks = dataset.cut([Recording("ramp", ramp)])
    assert [len(chunk) for chunk in chunks] == [4000, 4000, 4000]
    assert torch.equal(torch.cat(chunks[:2]), ramp[:8000])
    assert torch.equal(chunks[2], ramp[6000:])
    half_silent = torch.cat([ramp[:4000], torch.zeros(8000)])
    assert len(dataset.cut([Recording("half", half_silent)])) == 1


def test_chunks_are_cut_elsewhere_each_time(dataset):
    ramp = [Recording("ramp", torch.linspace(1, 2, 40_000))]
    first, second = (
        {float(c[0]) for c in dataset.cut(ramp, torch.Generator().manual_seed(seed))}
        for seed in (1, 2)
    )
    assert len(first & second) <= 2  # the beginning and the end


def test_a_short_recording_is_padded(dataset):
    (chunk,) = dataset.cut([Recording("short", torch.ones(1000))])
    mel = dataset.log_mels([chunk])
    assert mel.shape == (1, SMALL.n_mels, SMALL.frames(4000))
    assert mel[0, :, 25:].max() < 1e-6 < mel[0, :, :10].max()


def test_chunks_are_scaled_to_the_same_peak(dataset):
    chunk = torch.from_numpy(sound(1))[:4000]
    quiet, loud = dataset.log_mels([0.01 * chunk, chunk])
    torch.testing.assert_close(quiet, loud, atol=1e-4, rtol=1e-4)


# Settings


def test_sizes_follow_the_number_of_recordings():
    sizes = [VQVAESettings.for_files(n).codebook_size for n in (5, 100, 101, 500)]
    assert sizes == [64, 64, 256, 256]
    widths = [PriorSettings.for_files(n).hidden_size for n in (5, 100, 101)]
    assert widths == [128, 128, 512]
    assert VQVAESettings.for_files(20, codebook_size=32, levels=None).codebook_size == 32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1 to 10000, not 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"dropout": math.nan}, "dropout must be a number from 0 to 0.9, not nan"),
        ({"hidden_size": 10, "heads": 4}, r"heads must divide hidden_size \(10\), not 4"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PriorSettings(**settings)


# Training


def test_the_vqvae_reconstructs_more_than_the_mean_of_all_sounds(vqvae, dataset):
    training, validation = (
        dataset.log_mels(dataset.cut(part)) for part in (dataset.training, dataset.validation)
    )
    error_of_the_mean = float((validation - training.mean(dim=0)).abs().mean())
    losses = [loss for loss in vqvae.history.val_losses if loss is not None]
    assert vqvae.history.val_loss < 0.75 * error_of_the_mean
    assert vqvae.history.val_loss < 0.9 * losses[0]


@pytest.mark.slow
def test_the_prior_knows_more_than_how_frequent_codes_are(vqvae, dataset):
    prior = train_prior(vqvae.vqvae, dataset, replace(PRIOR, epochs=24), "cpu")
    assert prior.perplexity < 0.7 * prior.code_perplexity


@pytest.mark.slow
def test_the_prior_learns_which_code_follows(vqvae, dataset, monkeypatch):
    """Each code is the one before it plus 1: all codes are equally frequent in all places."""

    def count_up(network, dataset, chunks):
        generator = torch.Generator().manual_seed(len(chunks))
        first = torch.randint(16, (256, 1), generator=generator)
        return ((first + torch.arange(16)) % 16).unflatten(1, (-1, 2))

    monkeypatch.setattr(prior_module, "encode", count_up)
    settings = replace(PRIOR, batch_size=32)
    trained = train_prior(vqvae.vqvae, dataset, settings, "cpu")
    assert trained.code_perplexity > 14
    assert trained.perplexity < 2


def test_the_learning_rate_rises_and_falls_along_a_cosine():
    rates = []

    def record(optimizer, args, kwargs):
        rates.append(optimizer.param_groups[0]["lr"])

    network = torch.nn.Linear(1, 1)
    counts = [1, 20, 5]  # epochs with different numbers of batches
    hook = register_optimizer_step_pre_hook(record)
    try:
        train_network(
            network,
            replace(PRIOR, epochs=3, learning_rate=0.1, patience=3),
            lambda epoch: [torch.ones(1)] * counts[epoch],
            lambda epoch, batch: network(batch).sum(),
            lambda epoch: 1.0,
            no_progress,
            "net",
        )
    finally:
        hook.remove()
    done = [
        (epoch + (step + 1) / count) / 3
        for epoch, count in enumerate(counts)
        for step in range(count)
    ]
    assert rates == [0.1 * learning_rate_factor(share) for share in done]
    shares = (0.0, 0.025, 0.05, 0.5, 1.0)
    factors = (0.0, 0.5 * 0.99846, 0.99384, 0.5, 0.0)
    assert [learning_rate_factor(share) for share in shares] == pytest.approx(factors, abs=1e-4)


def test_the_best_epoch_is_what_is_kept(vqvae, prior, dataset):
    kept = reconstruction_error(vqvae.vqvae, dataset, dataset.validation)
    assert kept == pytest.approx(min(loss for loss in vqvae.history.val_losses if loss is not None))
    chunks = dataset.log_mels(dataset.cut(dataset.validation))
    tokens = vqvae.vqvae.encode(chunks).flatten(1)
    loss = float(cross_entropy(prior.prior, tokens))
    assert loss == pytest.approx(min(prior.history.val_losses), rel=1e-4)
    assert prior.perplexity == pytest.approx(math.exp(loss), rel=1e-3)


def test_the_loss_of_the_prior_is_that_of_each_token_after_the_first(prior):
    tokens = torch.randint(16, (2, prior.prior.seq_len))
    log_probabilities = prior.prior(tokens).log_softmax(-1)
    expected = -sum(
        float(log_probabilities[row, place - 1, tokens[row, place]])
        for row in range(2)
        for place in range(1, prior.prior.seq_len)
    ) / (2 * (prior.prior.seq_len - 1))
    assert float(cross_entropy(prior.prior, tokens)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(vqvae, prior, dataset):
    short = replace(VQVAE, epochs=2)
    state = torch.get_rng_state()
    first, again, other = (
        train_vqvae(dataset, replace(short, seed=seed), "cpu").vqvae for seed in (0, 0, 1)
    )
    assert same(first, again)
    assert not same(first, other)
    assert same(train_prior(vqvae.vqvae, dataset, PRIOR, "cpu").prior, prior.prior)
    assert torch.equal(torch.get_rng_state(), state)


def test_health_counts_the_codes_that_are_used():
    codes = torch.tensor([[[0, 1], [0, 2]], [[1, 3], [1, 4]]])  # [chunk, position, level]
    first, second = codebook_health(codes, 8).values()
    assert first == pytest.approx({"utilization": 2 / 8, "perplexity": 2, "dead_codes": 6})
    assert second == pytest.approx({"utilization": 4 / 8, "perplexity": 4, "dead_codes": 4})


def test_low_use_is_warned_of(dataset):
    settings = replace(VQVAE, codebook_size=512, epochs=1)
    warnings = train_vqvae(dataset, settings, "cpu").warnings
    assert any("of its codes; lower codebook_size (512)" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("perplexity", "files", "warned"),
    [(1.9, 20, True), (2.1, 20, False), (2.9, 21, True), (3.1, 100, False), (4.9, 101, True)],
)
def test_a_prior_that_has_memorized_its_recordings_is_warned_of(perplexity, files, warned):
    result = TrainingHistory(
        epoch=1, train_losses=[math.log(perplexity)], val_losses=[math.log(perplexity)]
    )
    assert bool(overfitting_warnings(result, files)) == warned


def test_training_and_validation_that_diverge_are_warned_of():
    result = TrainingHistory(epoch=1, train_losses=[math.log(6)], val_losses=[math.log(20)])
    (warning,) = overfitting_warnings(result, 20)
    assert "diverge: perplexity 6.0 against 20.0" in warning


@pytest.mark.slow
def test_training_stops_early_when_it_gets_no_better(vqvae, dataset):
    settings = replace(PRIOR, epochs=60, learning_rate=0.03, patience=2, dropout=0.0)
    history = train_prior(vqvae.vqvae, dataset, settings, "cpu").history
    assert len(history.val_losses) == history.epoch + 2 < 60


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [
        (math.nan, FloatingPointError, r"loss of the net is nan in epoch 1; lower learning_rate"),
        (RuntimeError("can't allocate memory"), MemoryError, r"lower batch_size \(8\)"),
        (torch.OutOfMemoryError("CUDA"), MemoryError, r"lower batch_size \(8\)"),
        (RuntimeError("an illegal memory access"), RuntimeError, "^an illegal memory access"),
        (RuntimeError("something else"), RuntimeError, "something else"),
    ],
)
def test_a_failed_training_says_what_to_lower(failure, error, message):
    network = torch.nn.Linear(1, 1)

    def loss(epoch, batch):
        if isinstance(failure, Exception):
            raise failure
        return network(batch).sum() * failure

    with pytest.raises(error, match=message):
        train_network(
            network, VQVAE, lambda epoch: [torch.ones(1)], loss, lambda e: 1.0, no_progress, "net"
        )


def test_what_progress_raises_ends_the_training(dataset):
    def stop(share, text):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train_vqvae(dataset, VQVAE, "cpu", stop)


def interrupt_after(epoch: int):
    """A progress that presses Ctrl-C once `epoch` epochs are validated."""

    def progress(share, text):
        if f" {epoch}/" in text and "validation" in text:
            signal.raise_signal(signal.SIGINT)

    return progress


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(vqvae, prior, dataset):
    first = train_vqvae(dataset, VQVAE, "cpu", interrupt_after(5))
    assert first.history.interrupted
    assert first.history.val_losses == vqvae.history.val_losses[:5]
    second = train_prior(vqvae.vqvae, dataset, PRIOR, "cpu", interrupt_after(3))
    assert second.history.interrupted
    assert second.history.val_losses == prior.history.val_losses[:3]
    assert second.perplexity == pytest.approx(math.exp(min(prior.history.val_losses[:3])))


# Files


def test_a_trained_model_loads_with_equal_logits_and_plays(trained, vqvae, prior):
    model = load_model(trained, "cpu")
    tokens = torch.randint(16, (2, prior.prior.seq_len))
    assert torch.equal(model.prior(tokens), prior.prior(tokens))
    codes = tokens.unflatten(1, (-1, 2))
    again = model.vqvae.codes_to_embeddings(codes, model.grid)
    assert torch.equal(again, vqvae.vqvae.codes_to_embeddings(codes, model.grid))
    take = generate(model, GenerationConfig(duration=2, seed=1))
    assert len(take.audio) == 16_000
    assert np.abs(take.audio).max() > 0.05


@pytest.mark.slow
def test_takes_have_the_pitches_of_the_recordings(trained, folder):
    """Their long-term spectrum is nearer to theirs than to that of noise."""
    config = GenerationConfig(duration=2, seed=1)
    takes = [take.audio for take in generate_takes(load_model(trained, "cpu"), config, 16)]

    def bands(samples):
        power = SMALL.log_mel(torch.from_numpy(np.asarray(samples, "float32"))).expm1()
        return (power.sum(dim=1) / power.sum()).numpy()

    recordings = np.concatenate([sound(index) for index in range(8)])
    noise = np.random.default_rng(0).normal(size=80_000)
    distance = np.abs(bands(np.concatenate(takes)) - bands(recordings)).sum()
    assert distance < 0.6 * np.abs(bands(noise) - bands(recordings)).sum()


def test_the_file_says_how_it_was_trained(trained, vqvae, prior):
    contents = read_checkpoint(trained).contents
    assert contents["codebook_health_snapshot"] == vqvae.health
    assert contents["loss_curve_history"]["val_losses"] == vqvae.history.val_losses
    assert contents["vqvae_config"]["decay"] == VQVAE.decay
    assert contents["metadata"]["dataset_file_count"] == 8
    assert contents["metadata"]["dataset_total_duration_s"] == pytest.approx(12)
    assert contents["prior_metadata"]["best_perplexity"] == prior.perplexity


def test_the_first_token_is_drawn_as_often_as_chunks_begin_with_it(trained, prior):
    weights = load_model(trained, "cpu").first_token_weights
    assert weights.tolist() == prior.first_token_counts
    assert sum(prior.first_token_counts) > 0


@pytest.mark.parametrize(
    "counts",
    [
        [1] * 15,
        [0] * 16,
        [math.nan, *[1] * 15],
        [math.inf, *[1] * 15],
        [-1, *[2] * 15],
        ["1"] * 16,
        [True] * 16,
        [2**60] * 16,
        "1234567890123456",
        {},
    ],
)
def test_counts_that_are_not_well_formed_are_not_used(tmp_path, counts):
    path = write_model(tmp_path / "m.distill")
    contents = torch.load(path, weights_only=True)
    by_use = load_model(path, "cpu").first_token_weights
    contents["prior_metadata"]["first_token_counts"] = counts
    torch.save(contents, path)
    assert torch.equal(load_model(path, "cpu").first_token_weights, by_use)


def test_a_new_prior_leaves_all_else_in_the_file_as_it_was(tmp_path, prior, trained):
    path = tmp_path / "m.distill"
    contents = torch.load(trained, weights_only=True)
    contents["from_elsewhere"] = {"a": [1, 2], "b": torch.arange(3)}
    contents["metadata"]["unknown"] = "kept"
    for key in ("has_prior", "prior_state_dict", "prior_config", "prior_metadata"):
        del contents[key]
    torch.save(contents, path)
    with pytest.raises(ModelFileError, match="has no prior"):
        load_model(path, "cpu")
    replace_prior(path, prior.prior, {"epochs_trained": 7})
    after = torch.load(path, weights_only=True)
    for key, value in contents.items():
        if key not in ("model_state_dict", "from_elsewhere"):
            assert after[key] == value
    assert after["from_elsewhere"]["a"] == [1, 2]
    assert torch.equal(after["from_elsewhere"]["b"], torch.arange(3))
    for name, tensor in contents["model_state_dict"].items():
        assert torch.equal(after["model_state_dict"][name], tensor)
    assert same(load_model(path, "cpu").prior, prior.prior)
    assert os.listdir(tmp_path) == ["m.distill"]


# Commands


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)

    def invoke(*arguments):
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke


TINY = ("--codebook-size", 8, "--levels", 2, "--epochs", 2, "--device", "cpu", "--no-timeline")
TINY_PRIOR = ("--hidden-size", 16, "--layers", 1, "--heads", 2)


@pytest.mark.slow
def test_train_then_train_prior_then_sample(run, folder, tmp_path):
    result = run(
        "train",
        folder,
        "-o",
        "m.distill",
        *TINY,
        *TINY_PRIOR,
        "--prior-epochs",
        2,
        "--no-vocoder",
        "--json",
    )
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["path"] == "m.distill"
    assert described["recordings"] == 8
    assert len(described["validation"]) == 2
    assert described["prior"]["epochs"] == 2
    assert "level 0:" in result.stderr
    assert Path("m.png").read_bytes().startswith(b"\x89PNG")
    assert load_model("m.distill", "cpu").codebook_size == 8

    before = Path("m.distill").read_bytes()
    retrain = ("train-prior", "m.distill", folder, *TINY_PRIOR, "--epochs", 1, "--no-timeline")
    result = run(*retrain)
    assert result.exit_code == 1
    assert "m.distill has a prior; add --force to replace it" in result.stderr
    assert Path("m.distill").read_bytes() == before
    result = run(*retrain, "--force")
    assert result.exit_code == 0, result.output
    assert result.stdout == "m.distill\n"
    assert read_checkpoint("m.distill").contents["prior_metadata"]["epochs_trained"] == 1

    assert run("sample", "m.distill", "-o", "take.wav", "-d", 1).exit_code == 0
    assert soundfile.info("take.wav").frames == 48_000


def test_train_overwrites_nothing_unasked(run, folder):
    for taken in ("m.distill", "m.png"):
        Path(taken).write_text("precious")
        result = run("train", folder, "-o", "m.distill")
        assert result.exit_code == 1
        assert f"{taken} exists; choose another name or add --force" in result.stderr
        assert Path(taken).read_text() == "precious"
        Path(taken).unlink()


def test_train_wants_a_model_file_as_output(run, folder):
    result = run("train", folder, "-o", "model.wav")
    assert result.exit_code == 2
    assert "must end in .distill" in result.stderr


@pytest.mark.posix
@pytest.mark.slow
def test_ctrl_c_during_the_command_leaves_a_whole_model(run, folder, tmp_path):
    """The signal comes while the prior trains, which the model file without one shows."""
    done = threading.Event()

    def interrupt():
        while not Path("m.distill").exists():
            if done.wait(0.01):
                return
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    result = run(
        "train", folder, "-o", "m.distill", *TINY, *TINY_PRIOR, "--prior-epochs", 10_000,
        "--patience", 10_000, "--no-vocoder",
    )  # fmt: skip
    done.set()
    watcher.join()
    assert result.exit_code == 130
    assert "Interrupted: the " in result.stderr
    assert read_checkpoint("m.distill").vqvae_shape["codebook_size"] == 8
    assert sorted(os.listdir()) == [
        "m.distill",
        "m.distill.checkpoint",
        "m.md",
        "m.png",
    ]


def test_train_prior_names_a_file_that_is_not_there(run, folder):
    result = run("train-prior", "none.distill", folder)
    assert result.exit_code == 1
    assert "none.distill: there is no such file or folder" in result.stderr
