import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill_prior_gen import GenerationConfig, decode, encode, generate, load_model, open_take
from tests.helpers.models import add_timeline, write_model


@pytest.fixture
def takes(run):
    """A model, two takes and a recording."""
    add_timeline(write_model(Path("small.distill")))
    for name, seed in (("a", 1), ("b", 2)):
        options = ["-d", 2, "-s", seed, "-o", f"{name}.wav", "--quality", "fast"]
        assert run("sample", "small.distill", *options).exit_code == 0
    wave = np.random.default_rng(0).normal(0, 0.1, (44_100, 2)).cumsum(axis=0)
    soundfile.write("rain.flac", wave / np.abs(wave).max() / 2, 44_100)


COMMANDS: dict[str, list[object]] = {
    "redraw": ["a.wav.json", "--span", "1:1.5"],
    "redraw a recording": ["rain.flac", "--span", "0.3:0.6", "-m", "small.distill"],
    "redraw periodic": ["a.wav.json", "--mask", "periodic:4", "--levels", "timbre"],
    "redraw onsets": ["a.wav.json", "--mask", "onsets", "--span", "0.5:2"],
    "redraw swap": ["a.wav.json", "--swap", "b.wav.json", "--span", "0:1"],
    "redraw swap a recording": ["a.wav.json", "--swap", "rain.flac", "--span", "0:1"],
    "fill": ["a.wav.json", "b.wav.json", "-d", 0.7],
    "fill recordings": ["rain.flac", "rain.flac", "-d", 0.5, "-m", "small.distill"],
    "morph": ["a.wav.json", "b.wav.json", "--amount", "0:1"],
    "morph levels": ["a.wav.json", "rain.flac", "--levels", "structure", "--amount", 0.3],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_edit_is_replayed_bit_for_bit(run, takes, name):
    command, arguments = name.split()[0], COMMANDS[name]
    result = run(command, *arguments, "-s", 5, "-o", "new.wav", "--bit-depth", 32)
    assert result.exit_code == 0, result.output
    for path in ("b.wav.json", "b.wav", "rain.flac"):  # what is needed was kept
        Path(path).unlink()
    result = run("replay", "new.wav.json", "-o", "again.wav")
    assert result.exit_code == 0, result.output
    assert Path("again.wav").read_bytes() == Path("new.wav").read_bytes()
    sidecars = [json.loads(Path(f"{take}.wav.json").read_text()) for take in ("new", "again")]
    assert sidecars[0] == sidecars[1]
    result = run("redraw", "again.wav.json", "--span", "0.2:0.5", "-o", "further.wav")
    assert result.exit_code == 0, result.output
    assert len(json.loads(Path("further.wav.json").read_text())["edits"]) == 2


def test_a_recording_stays_outside_of_what_is_redrawn(run, takes):
    options = ["--span", "0.4:0.5", "-m", "small.distill", "-o", "new.wav"]
    assert run("redraw", "rain.flac", *options).exit_code == 0
    recording = open_take(load_model("small.distill", "cpu"), "rain.flac").audio
    new = soundfile.read("new.wav")[0]
    assert len(new) == len(recording) == 8000
    assert np.abs(new - recording)[:1500].max() < 1e-6
    assert np.abs(new - recording)[6500:].max() < 1e-6
    assert np.abs(new - recording).max() > 0.001


def test_alternatives_have_seeds_that_follow_each_other(run, takes):
    options = ["-d", 0.5, "-n", 2, "-s", 7, "-o", "new.wav", "-q"]
    assert run("fill", "a.wav.json", "b.wav.json", *options).stdout == "new-1.wav\nnew-2.wav\n"
    assert run("fill", "a.wav.json", "b.wav.json", "-d", 0.5, "-s", 8, "-o", "x.wav").exit_code == 0
    assert Path("x.wav").read_bytes() == Path("new-2.wav").read_bytes()


def test_a_take_is_rendered_from_its_codes_even_if_sampling_has_changed(run, takes):
    a, b = (json.loads(Path(f"{name}.wav.json").read_text()) for name in "ab")
    Path("a.wav.json").write_text(json.dumps(a | {"codes": b["codes"]}))
    assert run("replay", "a.wav.json", "-o", "new.wav").exit_code == 0
    model = load_model("small.distill", "cpu")
    config = GenerationConfig(duration=2, seed=2, quality="fast")
    assert open_take(model, "a.wav.json").codes.equal(generate(model, config).codes)
    assert run("replay", "a.wav.json", "--quality", "normal", "-o", "other.wav").exit_code == 0
    assert open_take(model, "other.wav.json").codes.equal(generate(model, config).codes)
    assert run("replay", "a.wav.json", "-t", 1.3, "-o", "drawn.wav").exit_code == 0
    drawn = GenerationConfig(duration=2, seed=1, quality="fast", temperature=1.3)
    assert open_take(model, "drawn.wav.json").codes.equal(generate(model, drawn).codes)


def test_codes_are_written_and_decoded(run, takes):
    assert run("encode", "a.wav.json").stdout == "a.npz\n"
    model = load_model("small.distill", "cpu")
    take = generate(model, GenerationConfig(duration=2, seed=1, quality="fast"))
    with np.load("a.npz", allow_pickle=False) as stored:
        codes = stored["codes"]
        assert codes.dtype == np.int64
        assert np.array_equal(codes, take.codes[0].view(2, -1, 2).numpy())
        assert str(stored["codes_id"]) == model.codes_id
    options = ["-m", "small.distill", "-s", 1, "--quality", "fast"]
    assert run("decode", "a.npz", "-o", "c.wav", *options).exit_code == 0
    assert Path("c.wav").read_bytes()[-8000:] == Path("a.wav").read_bytes()[-8000:]
    assert run("replay", "c.wav.json", "-o", "d.wav").exit_code == 0
    assert Path("d.wav").read_bytes() == Path("c.wav").read_bytes()
    assert run("encode", "rain.flac", "-o", "rain.npz", "-m", "small.distill").exit_code == 0
    sound = open_take(model, "rain.flac")
    with np.load("rain.npz") as stored:
        assert np.array_equal(stored["codes"], encode(model, sound.audio / sound.gain).numpy())
    assert run("encode", "a.wav.json").exit_code == 1  # it exists
    assert run("encode", "a.wav.json", "--force").exit_code == 0


def test_codes_that_were_changed_are_decoded(run, takes):
    run("encode", "a.wav.json")
    with np.load("a.npz") as stored:
        arrays = dict(stored)
    arrays["codes"] = np.ascontiguousarray(arrays["codes"][:, ::-1])
    np.savez("turned.npz", **arrays)
    assert run("decode", "turned.npz", "-m", "small.distill", "-s", 3, "-o", "t.wav").exit_code == 0
    model = load_model("small.distill", "cpu")
    turned = open_take(model, "t.wav.json")
    assert np.array_equal(turned.codes[0].view(2, -1, 2).numpy(), arrays["codes"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.zeros((2, 9, 2))}, "codes must not be float64"),
        ({"codes": np.zeros((3, 9, 2), int)}, "codes of small are [2, columns, 2], not [3, 9, 2]"),
        ({"codes": np.full((2, 17, 2), 99)}, "codes of small are from 0 to 15"),
        ({"codes": np.array([object()])}, "allow_pickle"),
        ({"samples": 10**9}, "are a take of 1 to"),
        ({"samples": [1, 2]}, "must be single values"),
        ({"trim_start": -5}, "trim_start must be a whole number from 0"),
        ({"codes_id": "abc", "model": "bells"}, "holds codes of another model, 'bells'"),
        ({"codes_id": 5}, "codes_id must not be int64"),
        (None, "is no file of codes"),
    ],
)
def test_what_is_no_file_of_codes_is_refused(run, takes, change, message):
    run("encode", "a.wav.json", "-o", "a.npz")
    if change is None:
        Path("a.npz").write_bytes(Path("a.npz").read_bytes()[:200])
    else:
        with np.load("a.npz") as stored:
            np.savez("a.npz", **dict(stored) | change)
    result = run("decode", "a.npz", "-m", "small.distill", "-o", "c.wav")
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("c.wav").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["redraw", "a.wav.json", "--mask", "periodic"], 2, "is not periodic:N"),
        (["redraw", "a.wav.json", "--mask", "periodic:1"], 2, "keep periodic must be"),
        (["redraw", "nowhere.wav", "--span", "1:2"], 1, "nowhere.wav does not exist"),
        (["redraw", "small.distill", "--span", "1:2"], 1, "small.distill"),
        (["fill", "a.wav.json", "b.wav.json", "-d", 0], 2, "0 is not in the range"),
        (["fill", "a.wav.json", "nowhere.json"], 1, "nowhere.json"),
        (["morph", "a.wav.json", "b.wav.json", "--amount", "x"], 2, "not a valid float"),
        (["morph", "a.wav.json", "b.wav.json", "--amount", 2], 1, "amount must be"),
        (["morph", "a.wav.json", "b.wav.json", "--levels", 7], 1, "levels must be"),
        (["redraw", "a.wav.json", "--span", "1:2", "-m", "other.distill"], 0, ""),
        (["encode", "a.wav.json", "-o", "codes.txt"], 2, "must end in .npz"),
        (["replay", "a.wav"], 2, "a.wav is not a sidecar"),
    ],
)
def test_what_makes_no_sense_is_one_line(run, takes, arguments, code, message):
    add_timeline(write_model(Path("other.distill"), seed=3))
    before = sorted(Path().iterdir())
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    if code == 1:
        assert result.stderr.count("\n") == 1
        assert sorted(Path().iterdir()) == before


def test_an_edited_take_needs_its_model_and_is_not_drawn_again(run, takes):
    run("redraw", "a.wav.json", "--span", "1:1.5", "-o", "new.wav")
    write_model(Path("other.distill"), seed=3)
    result = run("replay", "new.wav.json", "--model", "other.distill", "-o", "x.wav")
    assert "was made with another model, small.distill" in result.stderr
    result = run("replay", "new.wav.json", "-t", 1.2, "-o", "x.wav")
    assert (
        "an edited take, of which only vocoder, quality and width can be changed" in result.stderr
    )
    assert run("replay", "new.wav.json", "--quality", "best", "-o", "x.wav").exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"data": "@@"},
        {"data": "AAAA"},
        {"shape": [1, 36]},
        {"shape": [1, 36, -2]},
        {"shape": [1, 10**7, 10**7]},
        {"shape": "all"},
    ],
)
def test_damaged_codes_in_a_sidecar_are_refused(run, takes, change):
    sidecar = json.loads(Path("a.wav.json").read_text())
    sidecar["codes"] |= change
    Path("a.wav.json").write_text(json.dumps(sidecar))
    result = run("replay", "a.wav.json", "-o", "x.wav")
    assert result.exit_code == 1
    assert "a.wav.json" in result.stderr
    assert not Path("x.wav").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "melt"}, "operation must be one of redraw, swap, fill, morph"),
        ({"samples": 10**11}, "too few codes for its samples"),
        ({"samples": 0}, "samples must be"),
        ({"gain": 0.0}, "gain must be"),
        ({"gain": 2}, "gain must be"),
        ({"spans": [[0, 10**30]]}, "spans must be"),
        ({"spans": [[0]]}, "does not describe a take"),
        ({"config": {"seed": 1}}, None),
        ({"config": {"seed": -1}}, "seed must be"),
        ({"config": {"swing": 1}}, "does not know (swing); install a newer one"),
    ],
)
def test_damaged_edits_in_a_sidecar_are_refused(run, takes, change, message):
    assert run("redraw", "a.wav.json", "--span", "1:1.5", "-o", "new.wav").exit_code == 0
    sidecar = json.loads(Path("new.wav.json").read_text())
    sidecar["edits"][0] |= change
    Path("new.wav.json").write_text(json.dumps(sidecar))
    result = run("replay", "new.wav.json", "-o", "x.wav")
    assert result.exit_code == (1 if message else 0), result.output
    assert (message or "") in result.stderr
    assert ("new.wav.json" in result.stderr) == (message is not None)
    assert result.stderr.count("\n") == (1 if message else 0)


def test_a_sidecar_without_codes_is_drawn_again(run, takes):
    sidecar = json.loads(Path("a.wav.json").read_text())
    del sidecar["codes"], sidecar["base"], sidecar["edits"], sidecar["model"]["codes_id"]
    Path("a.wav.json").write_text(json.dumps(sidecar))
    assert run("replay", "a.wav.json", "-o", "x.wav").exit_code == 0
    assert Path("x.wav").read_bytes() == Path("a.wav").read_bytes()


def test_python_decodes_what_the_command_wrote(run, takes):
    model = load_model("small.distill", "cpu")
    run("encode", "a.wav.json")
    with np.load("a.npz") as stored:
        take = decode(model, torch.from_numpy(stored["codes"]), samples=int(stored["samples"]))
    assert len(take.audio) == 16_000
