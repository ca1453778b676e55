"""Model files that are damaged, or made to do harm."""

import io
import json
import os
import zipfile
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from distill_prior_gen import ModelFileError, load_model
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.cli import cli
from distill_prior_gen.ui.library import find_models
from tests.helpers.models import write_model
from tests.mutate_models import failures, mutate

FILTER = "encoder.convs.0.weight"


@pytest.fixture
def altered(model_path, tmp_path):
    """Write the small model with changed contents, alone in a folder."""

    def alter(change):
        contents = torch.load(model_path, weights_only=True)
        change(contents)
        torch.save(contents, tmp_path / "altered.distill")
        return tmp_path / "altered.distill"

    return alter


def with_pickle(path, pickle):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle)
    return path


def refusal(path):
    """The reason, which is the same wherever the file is read."""
    reasons = set()
    read: Any
    for read in (read_checkpoint, describe_model, load_model):
        try:
            reasons.add(read(path)["reason"])
        except ModelFileError as error:
            reasons.add(str(error))
    (reason,) = reasons
    assert "\n" not in reason
    assert len(reason) < 1000
    return reason


def info(path, *options):
    result = CliRunner().invoke(cli, ["info", str(path), *options])
    assert result.exit_code == 0
    return result.output


@pytest.mark.slow
def test_damage_of_any_kind_ends_in_the_promised_error(model_path, tmp_path):
    content = model_path.read_bytes()
    for seed in range(25):
        mutate(content, seed, tmp_path / "damaged.distill")
        found = failures(tmp_path / "damaged.distill")
        found.pop("loaded", None)
        assert found == {}, seed


@pytest.mark.parametrize(
    "nested",
    [
        b"\x85" * 3_000_000,  # a tuple around a tuple, and so on
        b"\x85" * 1_000,
        b"q\x00h\x00\x86" * 1_000,  # a tuple of twice the same tuple, and so on
        b"q\x00h\x00h\x00\x87" * 12,
    ],
)
def test_values_nested_in_themselves_are_refused(tmp_path, nested):
    path = with_pickle(tmp_path / "nested.distill", b"\x80\x02)" + nested + b".")
    assert "values" in refusal(path)
    assert len(find_models([tmp_path])) == 2


def test_a_list_that_holds_itself_is_refused(altered):
    def nest(contents):
        tags: list[Any] = []
        contents["metadata"]["tags"] = tags
        tags.append(tags)

    assert "too deeply" in refusal(altered(nest))


def test_a_huge_index_of_a_pickle_takes_no_memory(tmp_path):
    path = with_pickle(tmp_path / "memo.distill", b"\x80\x02}r\xff\xff\xff\x7f.")
    assert "not a .distill model" in refusal(path)


class Marked(torch.Tensor):
    pass


def attribute(tensor):
    tensor.mark = 1
    return tensor


TENSORS = {
    "complex": lambda t: t.to(torch.complex64),
    "sparse": lambda t: t.to_sparse(),
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8),
    "subclass": lambda t: t.as_subclass(Marked),
    "with an attribute": attribute,
    "of integers": lambda t: t.int(),
    "of truth values": lambda t: t.bool(),
    "on no device": lambda t: t.to("meta"),
    "of more numbers than there are": lambda t: t.new_zeros(1).expand(2**40),
    "a list": lambda t: t.tolist(),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_only_plain_tensors_of_the_right_kind_count(altered, kind):
    def change(contents):
        state = contents["model_state_dict"]
        state[FILTER] = TENSORS[kind](state[FILTER].clone())

    path = altered(change)
    with pytest.raises(ModelFileError):
        load_model(path, "cpu")
    assert "cannot be played" in find_models([path.parent])[path.name].label


SHOWN = {
    "metadata": ("name", "model_id", "dataset_name", "dataset_file_count", "training_epochs"),
    "prior_metadata": ("best_perplexity", "epochs_trained", "first_token_counts"),
    "codebook_health_snapshot": ("level_0", "level_1"),
}
ODD = [torch.zeros(2), torch.tensor(2), 5, "x\x1b[31m\ny\ud800", float("nan"), 2**62, [{"a": ()}]]


@pytest.mark.parametrize("value", ODD, ids=str)
def test_what_is_only_shown_may_be_anything(altered, value):
    def change(contents):
        for table, keys in SHOWN.items():
            contents[table] = dict.fromkeys(keys, value)

    path = altered(change)
    assert info(path).replace("\n", "").isprintable()
    assert json.loads(info(path, "--json"), parse_constant=pytest.fail)["playable"]
    assert find_models([path.parent])[path.name].reason is None


@pytest.mark.parametrize(
    "place",
    [
        "version",
        "model_type",
        "has_prior",
        "model_state_dict",
        "vqvae_config.codebook_size",
        "vqvae_config.chunk_duration_s",
        "prior_config.num_heads",
        "spectrogram_config.n_mels",
        "spectrogram_config.f_max",
    ],
)
def test_a_tensor_or_a_list_in_place_of_a_setting_costs_this_entry_alone(altered, place):
    for value in (torch.zeros(2), [{"a": ()}]):

        def change(contents, value=value):
            *tables, key = place.split(".")
            for table in tables:
                contents = contents[table]
            contents[key] = value

        path = altered(change)
        if place != "has_prior":
            refusal(path)
        assert find_models([path.parent])[path.name].label
        assert "Playable" in info(path)


def test_a_name_is_shown_in_one_short_line(altered):
    path = altered(lambda contents: contents["metadata"].update(name="\x1b[2Jbell\n" * 1000))
    name = load_model(path, "cpu").name
    assert name.startswith("\\x1b[2Jbell")
    assert len(name) == 200


def test_bit_rot_is_called_damage_wherever_it_is(tmp_path, model_path):
    content = model_path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        places = [
            content.index(archive.read(name)) + 1
            for name in archive.namelist()
            if name.endswith(("data.pkl", "data/0", "data/40"))
        ]
    path = tmp_path / "rotten.distill"
    for place in places:
        for bit in range(8):
            rotten = bytearray(content)
            rotten[place] ^= 1 << bit
            path.write_bytes(rotten)
            assert "truncated or corrupt" in refusal(path)
            assert "corrupt" in find_models([tmp_path])[path.name].reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_fft": 65536, "n_mels": 4096, "hop_length": 4096}, ["n_fft", "n_mels"]),
        ({"sample_rate": 768_000, "hop_length": 2}, ["sample_rate", "hop_length"]),
        ({"n_fft": 65536, "hop_length": 64}, ["hop_length", "n_fft"]),
    ],
)
def test_sizes_that_are_too_much_together_are_named(altered, changes, named):
    path = altered(lambda contents: contents["spectrogram_config"].update(changes))
    with pytest.raises(ModelFileError) as error:
        load_model(path)
    assert all(name in str(error.value) for name in named)


def test_chunks_that_are_too_short_to_make_a_take_of_are_refused(tmp_path):
    spectrogram = SpectrogramSettings(sample_rate=8000, n_fft=64, hop_length=8, n_mels=16)
    path = write_model(tmp_path / "m.distill", spectrogram=spectrogram, chunk_duration=0.01)
    with pytest.raises(ModelFileError, match="chunk_duration_s"):
        load_model(path)


def test_a_file_may_change_once_it_is_read(tmp_path, model_path):
    path = tmp_path / "model.distill"
    path.write_bytes(model_path.read_bytes())
    checkpoint, model = read_checkpoint(path), load_model(path, "cpu")
    os.truncate(path, 0)
    prior = checkpoint.build_prior()
    assert prior.head.weight.equal(model.prior.head.weight)


def test_the_hash_is_that_of_the_file_that_was_read(model_path):
    import hashlib

    expected = hashlib.sha256(model_path.read_bytes()).hexdigest()
    assert load_model(model_path, "cpu").sha256 == expected


@pytest.mark.posix
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_are_neither_waited_for_nor_listed(tmp_path):
    os.mkfifo(tmp_path / "pipe.distill")
    assert "not a file" in refusal(tmp_path / "pipe.distill")
    assert list(find_models([tmp_path])) == ["demo"]


def test_an_archive_of_a_million_entries_is_refused(tmp_path):
    directory_entry = b"PK\x01\x02" + bytes(42)
    count = 1_000_000
    size = len(directory_entry) * count
    end = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + size.to_bytes(4, "little") + bytes(6)
    (tmp_path / "many.distill").write_bytes(directory_entry * count + end)
    assert "corrupt" in refusal(tmp_path / "many.distill")
