"""Training a vocoder: what it learns from, what is kept, and the commands."""

import json
import shutil
import signal

import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import VocoderSettings, load_model, read_dataset, train_vocoder, train_vqvae
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.checkpoint.vocoder import CONFIG, METADATA, STATE
from distill_prior_gen.cli import cli
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.training import data
from distill_prior_gen.training import vocoder as vocoder_module
from distill_prior_gen.training.encoded_sound import encode_recording, encode_sound
from distill_prior_gen.training.recording import Recording
from tests.helpers.models import FIXTURES, SMALL, add_vocoder, write_model
from tests.training.test_training import TINY, TINY_PRIOR, VQVAE, sound

RATE = 8000
TINY_VOCODER = VocoderSettings(width=32, blocks=2, epochs=4, batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for index in range(8):
        soundfile.write(folder / f"{index}.wav", sound(index), RATE)
    return folder


@pytest.fixture(scope="module")
def dataset(folder):
    return read_dataset(folder, SMALL, chunk_duration=0.5)


@pytest.fixture(scope="module")
def vqvae(dataset):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "MIN_EPOCH_CHUNKS", 32)
        return train_vqvae(dataset, VQVAE, "cpu").vqvae


@pytest.fixture
def short_epochs(monkeypatch):
    monkeypatch.setattr(vocoder_module, "EPOCH_STEPS", 5)


@pytest.mark.parametrize("length", [100, 1000, 8000])
def test_the_magnitudes_of_a_sound_are_those_of_torch_stft(vqvae, length):
    samples = torch.randn(length, generator=torch.Generator().manual_seed(0))
    encoded = encode_sound(vqvae, SMALL, samples, gain=0.5)
    expected = torch.stft(
        0.5 * torch.nn.functional.pad(samples, (0, max(0, 129 - length))),
        SMALL.n_fft,
        SMALL.hop_length,
        window=torch.hann_window(SMALL.n_fft),
        return_complex=True,
    ).abs()
    assert encoded.frames == expected.shape[1]
    torch.testing.assert_close(
        encoded.magnitudes(0, encoded.frames), expected.mT, atol=1e-4, rtol=1e-4
    )
    middle = encoded.frames // 2
    torch.testing.assert_close(
        encoded.magnitudes(middle, middle + 1), expected.mT[middle : middle + 1],
        atol=1e-4, rtol=1e-4,
    )  # fmt: skip


def test_segments_are_parts_of_the_whole(vqvae, dataset):
    (encoded,) = encode_recording(vqvae, SMALL, dataset.training[0], level_db=-6)
    assert float(encoded.gain * encoded.samples.abs().max()) == pytest.approx(10 ** (-6 / 20))
    columns = encoded.embeddings.shape[2]
    whole = encoded.segment(0, columns)
    assert whole[3].sum() == encoded.frames
    part = encoded.segment(columns - 3, 4)  # reaches one column beyond the end
    torch.testing.assert_close(part[1][:, :4], whole[1][:, columns - 3 : columns + 1])
    for name, axis, number in (("mel", 1, 0), ("magnitudes", 0, 2)):
        expected = whole[number].narrow(axis, (columns - 3) * STRIDE, 3 * STRIDE)
        found = part[number].narrow(axis, 0, 3 * STRIDE)
        # What is beyond the end of the sound does not count.
        inside = int(part[3].sum())
        torch.testing.assert_close(
            found.narrow(axis, 0, inside), expected.narrow(axis, 0, inside), msg=name
        )
    assert part[3][3 * STRIDE :].sum() == 0


@pytest.mark.slow
def test_a_trained_vocoder_is_closer_to_its_recordings_than_mel_griffin_lim(vqvae, dataset):
    settings = VocoderSettings(width=64, blocks=2, epochs=6, batch_size=8)
    trained = train_vocoder(vqvae, dataset, settings, "cpu")
    assert trained.better
    assert trained.distance < 0.8 * trained.reference_distance
    assert trained.history.val_loss <= 1.15 * min(trained.history.val_losses)
    weights = trained.network.out.weight
    assert weights.equal(weights.half().float())


def test_the_same_seed_gives_the_same_vocoder(vqvae, dataset, short_epochs):
    before = {name: t.clone() for name, t in vqvae.state_dict().items()}
    random = torch.random.get_rng_state()
    first, second = (train_vocoder(vqvae, dataset, TINY_VOCODER, "cpu") for _ in range(2))
    assert torch.random.get_rng_state().equal(random)
    assert all(t.equal(vqvae.state_dict()[name]) for name, t in before.items())
    states = first.network.state_dict(), second.network.state_dict()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    assert first.distance == second.distance


def test_wide_networks_are_narrowed_to_four_megabytes(tmp_path, folder, short_epochs):
    large = SpectrogramSettings(RATE, 8192, 2048, 256)
    path = write_model(tmp_path / "m.distill", spectrogram=large, chunk_duration=1.0)
    before = path.stat().st_size
    result = CliRunner().invoke(
        cli, ["train-vocoder", str(path), str(folder), "--epochs", "1", "--keep", "-q"]
    )
    assert result.exit_code == 0, result.output
    assert path.stat().st_size - before <= 4_000_000
    assert 8 < describe_model(path)["vocoder"]["width"] < 256


def test_the_latest_epoch_within_the_tolerance_is_kept(vqvae, dataset, short_epochs, monkeypatch):
    losses = iter([1.0, 0.5, 0.57, 0.6, 0.56, 0.9])
    monkeypatch.setattr(
        vocoder_module._VocoderTraining, "validate", lambda self, epoch: next(losses)
    )
    settings = VocoderSettings(width=8, blocks=1, epochs=6, batch_size=2)
    assert train_vocoder(vqvae, dataset, settings, "cpu").history.epoch == 5


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.distill")


TINY_RUN = ("--width", 8, "--blocks", 1, "--epochs", 1, "--device", "cpu")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_puts_a_vocoder_into_the_file_and_nothing_else(model, folder, short_epochs):
    before = read_checkpoint(model)
    result = run("train-vocoder", model, folder, *TINY_RUN, "--keep", "--json")
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["stored"]
    assert described["vocoder"]["distance_db"] > 0
    after = read_checkpoint(model)
    assert after.contents.keys() - before.contents.keys() == {STATE, CONFIG, METADATA}
    for key in ("model_state_dict", "prior_state_dict"):
        assert all(t.equal(after.contents[key][n]) for n, t in before.contents[key].items())
    assert all(t.dtype == torch.float16 for t in after.vocoder_state.values())
    assert load_model(model, "cpu").vocoder is not None
    again = run("train-vocoder", model, folder, *TINY_RUN)
    assert again.exit_code == 1
    assert "m.distill has a vocoder; add --force to replace it" in again.stderr
    assert run("train-vocoder", model, folder, *TINY_RUN, "--keep", "--force").exit_code == 0


def test_a_vocoder_that_is_not_better_is_not_stored(model, folder, short_epochs, monkeypatch):
    monkeypatch.setattr(vocoder_module, "_compare", lambda *arguments: (2.0, 1.5))
    before = model.read_bytes()
    result = run("train-vocoder", model, folder, *TINY_RUN)
    assert result.exit_code == 1
    assert "differ by 2.00 dB, with mel-griffin-lim by 1.50 dB; --keep stores" in result.stderr
    assert model.read_bytes() == before


@pytest.mark.posix
def test_ctrl_c_keeps_the_best_vocoder_so_far(model, folder, short_epochs, monkeypatch):
    validate = vocoder_module._VocoderTraining.validate

    def interrupt(self, epoch):
        loss = validate(self, epoch)
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(vocoder_module._VocoderTraining, "validate", interrupt)
    result = run("train-vocoder", model, folder, *TINY_RUN[:4], "--epochs", 50, "--keep")
    assert result.exit_code == 130
    assert "Interrupted: the best so far is kept" in result.stderr
    assert describe_model(model)["vocoder"]


@pytest.mark.slow
def test_train_has_the_vocoder_as_last_stage(folder, tmp_path, short_epochs, monkeypatch):
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)
    monkeypatch.setattr(vocoder_module, "_compare", lambda *arguments: (1.0, 1.5))
    output = tmp_path / "m.distill"
    arguments = ("train", folder, "-o", output, *TINY, *TINY_PRIOR, "--prior-epochs", 1)
    result = run(*arguments, "--vocoder-epochs", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["vocoder"]["kept_epoch"] == 1
    assert "with mel-griffin-lim by 1.50 dB" in result.stderr
    assert describe_model(output)["vocoder"]

    monkeypatch.setattr(vocoder_module, "_compare", lambda *arguments: (2.0, 1.5))
    result = run(*arguments, "--vocoder-epochs", 1, "--force")
    assert result.exit_code == 0
    assert "Warning: the vocoder was not stored" in result.stderr
    assert describe_model(output)["vocoder"] is None
    assert describe_model(output)["playable"]


def test_another_prior_keeps_the_vocoder(model, folder, monkeypatch):
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)
    add_vocoder(model)
    state = read_checkpoint(model).vocoder_state
    result = run(
        "train-prior", model, folder, *TINY_PRIOR, "--epochs", 1, "--no-timeline", "--force"
    )
    assert result.exit_code == 0, result.output
    after = read_checkpoint(model).vocoder_state
    assert all(t.equal(after[name]) for name, t in state.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["core_v2_no_prior", "core_v2_tabla"])
def test_a_file_of_the_distill_app_gets_a_vocoder(tmp_path, short_epochs, name):
    original = FIXTURES / f"{name}.distill"
    if not original.exists():
        pytest.skip("needs a file that the Distill app wrote")
    path = tmp_path / "m.distill"
    shutil.copy(original, path)
    (tmp_path / "sounds").mkdir()
    for index in range(5):
        soundfile.write(tmp_path / "sounds" / f"{index}.wav", sound(index, rate=48_000), 48_000)
    result = run("train-vocoder", path, tmp_path / "sounds", *TINY_RUN, "--keep")
    assert result.exit_code == 0, result.output
    before, after = (torch.load(file, weights_only=True) for file in (original, path))
    assert after.keys() - before.keys() == {STATE, CONFIG, METADATA}
    assert all(t.equal(after["model_state_dict"][n]) for n, t in before["model_state_dict"].items())


@pytest.mark.slow
@pytest.mark.posix
def test_ctrl_c_in_the_last_stage_keeps_the_model(folder, tmp_path, short_epochs, monkeypatch):
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)

    def interrupt(self, epoch, batch):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    monkeypatch.setattr(vocoder_module._VocoderTraining, "loss", interrupt)
    output = tmp_path / "m.distill"
    result = run("train", folder, "-o", output, *TINY, *TINY_PRIOR, "--prior-epochs", 1)
    assert result.exit_code == 130
    assert "Interrupted: the model is complete, without a vocoder; 'distill-prior" in result.stderr
    assert describe_model(output)["playable"]


def test_short_and_quiet_recordings_can_be_encoded(vqvae):
    (encoded,) = encode_recording(vqvae, SMALL, Recording("a", torch.full((5,), 1e-4)))
    assert encoded.decoded.isfinite().all()


def test_long_recordings_are_encoded_in_pieces(vqvae):
    samples = torch.randn(70 * RATE, generator=torch.Generator().manual_seed(0))
    pieces = encode_recording(vqvae, SMALL, Recording("long", samples))
    assert [len(piece.samples) / RATE for piece in pieces] == [30, 30, 10]
    assert len({piece.gain for piece in pieces}) == 1
