import subprocess
import sys
from pathlib import Path

import pytest
import torch

from distill_prior_gen import ModelFileError, load_model
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint.description import describe_model
from tests.helpers.models import FIXTURES, write_model

EMBED = "quantizer.rvq.layers.0._codebook.embed"


@pytest.fixture
def altered(model_path, tmp_path):
    """Write the small model with changed contents."""

    def alter(change):
        contents = torch.load(model_path, weights_only=True)
        change(contents)
        torch.save(contents, tmp_path / "altered.distill")
        return tmp_path / "altered.distill"

    return alter


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as error:
        load_model(path, "cpu")
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


SHAPES = [
    {},
    {"codebook_size": 256, "num_quantizers": 4, "codebook_dim": 24},
    {"num_quantizers": 3, "hidden_size": 40, "num_heads": 5, "num_layers": 1},
    {"spectrogram": SpectrogramSettings(22050, 1024, 300, 80, 40.0, 8000.0, 1.0)},
    {"spectrogram": SpectrogramSettings(16000, 512, 160, 20), "chunk_duration": 1.7},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_everything_is_derived_from_the_file(tmp_path, shape):
    model = load_model(write_model(tmp_path / "model.distill", **shape), "cpu")
    spectrogram = shape.get("spectrogram", model.spectrogram)
    samples = int(shape.get("chunk_duration", 0.5) * spectrogram.sample_rate)
    frames = samples // spectrogram.hop_length + 1
    assert model.spectrogram == spectrogram
    assert model.sample_rate == spectrogram.sample_rate
    assert model.chunk_samples == samples
    assert model.grid == ((spectrogram.n_mels + 15) // 16, (frames + 15) // 16)
    assert model.codebook_size == shape.get("codebook_size", 16)
    assert model.num_quantizers == shape.get("num_quantizers", 2)
    codes = torch.zeros(1, model.grid[0] * model.grid[1], model.num_quantizers, dtype=torch.long)
    assert model.decode(codes).shape == (1, spectrogram.n_mels, frames)


def test_weights_arrive_unchanged(model, model_path):
    contents = torch.load(model_path, weights_only=True)
    for key, module in (("model_state_dict", model.vqvae), ("prior_state_dict", model.prior)):
        state = module.state_dict()
        assert state.keys() == contents[key].keys()
        assert all(state[name].equal(tensor) for name, tensor in contents[key].items())


def test_half_precision_weights_are_widened(altered, model):
    def halve(contents):
        for key in ("model_state_dict", "prior_state_dict"):
            contents[key] = {
                name: t.half() if t.is_floating_point() else t for name, t in contents[key].items()
            }

    widened = load_model(altered(halve), "cpu")
    assert {p.dtype for p in widened.prior.parameters()} == {torch.float32}
    torch.testing.assert_close(
        widened.prior.head.weight, model.prior.head.weight, atol=1e-3, rtol=1e-3
    )


@torch.no_grad()
def test_codes_of_a_mel_decode_to_what_the_network_reconstructs(model):
    mel = torch.rand(3, model.spectrogram.n_mels, model.checkpoint.frames)
    codes = model.vqvae.encode(mel)
    height, width = model.grid
    assert codes.shape == (3, height * width, model.num_quantizers)
    vqvae = model.vqvae
    embeddings = vqvae.encoder(mel[:, None])
    flat = embeddings.permute(0, 2, 3, 1).reshape(3, height * width, -1)
    quantized = vqvae.quantizer.rvq(flat)[0]
    quantized = quantized.reshape(3, height, width, -1).permute(0, 3, 1, 2)
    reconstruction = vqvae.decoder(quantized)[:, 0, : mel.shape[1], : mel.shape[2]]
    torch.testing.assert_close(model.decode(codes), reconstruction)


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.distill"):
        load_model(tmp_path / "nothing.distill")


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVEfmt ", b"not a model " * 100])
def test_other_files_are_not_model_files(tmp_path, content):
    path = tmp_path / "song.distill"
    path.write_bytes(content)
    assert "not a .distill model" in refusal(path)


def test_other_torch_files_are_not_model_files(tmp_path):
    torch.save({"format": "another"}, tmp_path / "a.distill")
    torch.save([1, 2], tmp_path / "b.distill")
    assert "not a .distill model" in refusal(tmp_path / "a.distill")
    assert "not a .distill model" in refusal(tmp_path / "b.distill")


def test_a_folder_is_not_a_model_file(tmp_path):
    assert "not a file" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_file_is_recognised(tmp_path, model_path, share):
    content = model_path.read_bytes()
    path = tmp_path / "cut.distill"
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated or corrupt" in refusal(path)


def test_a_flipped_bit_is_recognised(tmp_path, model_path):
    content = bytearray(model_path.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "flipped.distill"
    path.write_bytes(content)
    assert "corrupt" in refusal(path)


class Command:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_code_in_a_file_is_not_run(altered, tmp_path):
    path = altered(lambda contents: contents.update(metadata=Command(tmp_path / "was-here")))
    assert "can run code" in refusal(path)
    assert not (tmp_path / "was-here").exists()


def test_v1_models_are_sent_to_distill_generate(altered):
    assert "distill generate" in refusal(altered(lambda c: c.update(version=1)))


def test_newer_versions_ask_for_an_update(altered):
    message = refusal(altered(lambda contents: contents.update(version=3)))
    assert "version 3" in message
    assert "update distill-prior-gen" in message


def test_a_model_without_a_prior_says_how_to_train_one(tmp_path):
    path = write_model(tmp_path / "model.distill", with_prior=False)
    assert f"distill-prior train-prior {path} FOLDER" in refusal(path)


@pytest.mark.parametrize(
    "key",
    ["model_state_dict", "vqvae_config", "spectrogram_config", "prior_config", "prior_state_dict"],
)
def test_missing_keys_are_named(altered, key):
    assert f"{key} is missing" in refusal(altered(lambda contents: contents.pop(key)))


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("model_state_dict", "decoder.proj.bias"),
        ("prior_state_dict", "ln_f.weight"),
        ("model_state_dict", EMBED),
        ("prior_state_dict", "pos_emb.weight"),
    ],
)
def test_missing_weights_are_named(altered, state, name):
    assert name in refusal(altered(lambda contents: contents[state].pop(name)))


def test_wrong_shapes_are_named(altered):
    def shorten(contents):
        contents["prior_state_dict"]["ln_f.bias"] = torch.zeros(3)

    message = refusal(altered(shorten))
    assert "ln_f.bias" in message
    assert "(3,)" in message
    assert "(16,)" in message


def test_a_seq_len_that_does_not_fit_the_grid_gives_both_numbers(altered):
    def lengthen(contents):
        contents["spectrogram_config"]["n_mels"] = 48

    message = refusal(altered(lengthen))
    assert "16" in message.split("seq_len is ")[1][:3]
    assert "3 x 4 positions x 2 levels = 24" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("state", "name"), [("model_state_dict", EMBED), ("prior_state_dict", "head.weight")]
)
def test_weights_that_are_not_finite_are_named(altered, state, name, value):
    def damage(contents):
        contents[state][name].view(-1)[0] = value

    message = refusal(altered(damage))
    assert name in message
    assert "not finite" in message


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("vqvae_config", "codebook_size", 10**9),
        ("vqvae_config", "num_quantizers", 10**9),
        ("prior_config", "hidden_size", 10**9),
        ("prior_config", "num_layers", 10**9),
        ("prior_config", "seq_len", 10**9),
        ("prior_config", "num_heads", 0),
        ("prior_config", "num_heads", 3),
        ("spectrogram_config", "n_fft", 10**12),
        ("spectrogram_config", "n_mels", 10**9),
        ("spectrogram_config", "hop_length", 0),
        ("spectrogram_config", "sample_rate", -8000),
        ("spectrogram_config", "f_max", 10**6),
        ("spectrogram_config", "power", float("nan")),
        ("vqvae_config", "chunk_duration_s", 10**9),
        ("vqvae_config", "chunk_duration_s", float("nan")),
        ("vqvae_config", "chunk_duration_s", "1"),
    ],
)
def test_claims_that_the_weights_do_not_bear_out_are_refused(altered, table, field, value):
    refusal(altered(lambda contents: contents[table].update({field: value})))


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(altered):
    def swell(contents):
        contents["vqvae_config"]["codebook_size"] = 10**9
        contents["model_state_dict"][EMBED] = torch.zeros(1).expand(1, 10**9, 8)

    assert "more data than the file holds" in refusal(altered(swell))


@pytest.mark.parametrize("value", [None, 5, "x", [1]])
@pytest.mark.parametrize(
    "key", ["format", "version", "model_state_dict", "spectrogram_config", "prior_config"]
)
def test_entries_of_the_wrong_type_are_refused(altered, key, value):
    refusal(altered(lambda contents: contents.update({key: value})))


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_description_reads_little_of_a_large_file(tmp_path):
    path = write_model(tmp_path / "large.distill", hidden_size=512, num_layers=6, num_heads=8)
    assert path.stat().st_size > 75e6
    program = """
import re, sys
from distill_prior_gen.checkpoint.description import describe_model
def mapped():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1])
describe_model(sys.argv[2])
before = mapped()
assert describe_model(sys.argv[1])["playable"]
print(mapped() - before)
"""
    small = write_model(tmp_path / "small.distill")
    run = subprocess.run(
        [sys.executable, "-c", program, path, small], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 8_000  # KiB


def test_a_description_of_an_unplayable_file_gives_the_reason(tmp_path):
    path = write_model(tmp_path / "model.distill", with_prior=False)
    description = describe_model(path)
    assert not description["playable"]
    assert "train-prior" in description["reason"]
    assert description["codebook"]["size"] == 16


@pytest.mark.skipif(not FIXTURES.exists(), reason=f"{FIXTURES} is not there")
def test_files_of_the_distill_app():
    model = load_model(FIXTURES / "core_v2_tabla.distill", "cpu")
    assert model.grid == (8, 6)
    assert (model.num_quantizers, model.codebook_size) == (3, 64)
    assert (model.sample_rate, model.chunk_samples) == (48_000, 48_000)
    assert "distill generate" in refusal(FIXTURES / "core_v1.distill")
    assert "distill-prior train-prior" in refusal(FIXTURES / "core_v2_no_prior.distill")
    description = describe_model(FIXTURES / "core_v2_tabla.distill")
    assert description["prior"]["perplexity"] == pytest.approx(3.02, abs=0.01)
    assert [level["dead_codes"] for level in description["codebook"]["health"]] == [43, 58, 55]
