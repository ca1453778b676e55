import json
import logging
import re
import shutil
import signal

import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.checkpoint.timeline import CONFIG, METADATA, STATE
from distill_prior_gen.cli import cli
from distill_prior_gen.training import timeline
from tests.helpers.models import FIXTURES, add_timeline, write_model
from tests.training.test_training import TINY_PRIOR, sound

TINY_TIMELINE = ("--width", 16, "--epochs", 1, "--batch-size", 2, "--memory", 8, "--device", "cpu")


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.distill", with_prior=True)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sounds").mkdir()
    for index in range(5):
        soundfile.write(tmp_path / "sounds" / f"{index}.wav", sound(index, 0.5), 8000)
    return tmp_path / "sounds"


def test_a_model_gets_a_timeline_prior_which_is_used_from_then_on(model, folder):
    before = torch.load(model, weights_only=True)
    result = run("train-timeline", model, folder, *TINY_TIMELINE, "--json")
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["timeline"]["epochs_trained"] == 1
    assert f"perplexity {described['timeline']['training_perplexity']:.2f} in training" in (
        result.stderr
    )
    after = torch.load(model, weights_only=True)
    assert after.keys() - before.keys() == {STATE, CONFIG, METADATA}
    for key in ("model_state_dict", "prior_state_dict"):
        assert all(tensor.equal(after[key][name]) for name, tensor in before[key].items())
    assert generate(load_model(model, "cpu"), GenerationConfig(duration=1)).config.sampler == (
        "timeline"
    )
    assert "Timeline" in run("info", model).output
    result = run("train-timeline", model, folder)
    assert result.exit_code == 1
    assert "m.distill has a timeline prior; add --force to replace it" in result.stderr


def test_takes_are_steered_and_replayed(model, folder, tmp_path):
    assert run("train-timeline", model, folder, *TINY_TIMELINE).exit_code == 0
    assert re.search(r"^  like +\d, ", run("info", model).output, re.MULTILINE)
    name = load_model(model, "cpu").recordings[1]
    steering = ["--like", name, "--bright", 0.9, "--dense", "0.2:1", "--wander", 2]
    take, other = tmp_path / "a.wav", tmp_path / "b.wav"
    result = run("sample", model, "-d", 1, "-s", 3, "-o", take, *steering)
    assert result.exit_code == 0, result.output
    config = json.loads(take.with_suffix(".wav.json").read_text())["config"]
    assert (config["like"], config["bright"], config["dense"]) == (name, 0.9, [0.2, 1.0])
    assert run("replay", f"{take}.json", "-o", other).exit_code == 0
    assert take.read_bytes() == other.read_bytes()
    result = run("replay", f"{take}.json", "-o", other, "--force", "--bright", 0.1)
    assert result.exit_code == 0, result.output
    again = json.loads(other.with_suffix(".wav.json").read_text())["config"]
    assert again == config | {"bright": 0.1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bright", 1.5], "1.5 is not in the range 0.0<=x<=1.0"),
        (["--bright", "0:2"], "2.0 is not in the range"),
        (["--bright", "0:1:0"], "'0:1:0' is not X or X:Y, such as 0.7 or 0.2:0.9"),
        (["--bright", "a:b"], "'a' is not a valid float range"),
    ],
)
def test_steering_that_makes_no_sense_is_wrong_usage(model, options, message):
    result = run("sample", model, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_steering_without_a_timeline_prior_is_one_line(model, tmp_path):
    result = run("sample", model, "--bright", 0.5, "-o", tmp_path / "a.wav")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"Error: bright needs a timeline prior; .*m.distill has none; train one with "
        r"'distill-prior train-timeline .*m.distill FOLDER'\n",
        result.stderr,
    )
    assert not list(tmp_path.glob("a.*"))


def test_another_prior_keeps_the_timeline(model, folder):
    state = load_model(add_timeline(model), "cpu").timeline.state_dict()
    result = run(
        "train-prior", model, folder, *TINY_PRIOR, "--epochs", 1, "--force", "--no-timeline"
    )
    assert result.exit_code == 0, result.output
    after = load_model(model, "cpu").timeline.state_dict()
    assert all(tensor.equal(after[name]) for name, tensor in state.items())


@pytest.mark.posix
def test_ctrl_c_keeps_what_was_learned_so_far(model, folder, monkeypatch):
    validate = timeline._TimelineTraining.validate

    def interrupt(self, epoch):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return validate(self, epoch)

    monkeypatch.setattr(timeline._TimelineTraining, "validate", interrupt)
    result = run("train-timeline", model, folder, *TINY_TIMELINE, "--epochs", 5)
    assert result.exit_code == 130
    assert "Interrupted: what was learned so far is kept" in result.stderr
    assert describe_model(model)["timeline"]["epochs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["core_v2_no_prior", "core_v2_tabla"])
def test_a_file_of_the_distill_app_gets_a_timeline_prior(tmp_path, name):
    original = FIXTURES / f"{name}.distill"
    if not original.exists():
        pytest.skip("needs a file that the Distill app wrote")
    path = shutil.copy(original, tmp_path / "m.distill")
    (tmp_path / "sounds").mkdir()
    for index in range(5):
        soundfile.write(tmp_path / "sounds" / f"{index}.wav", sound(index, rate=48_000), 48_000)
    result = run("train-timeline", path, tmp_path / "sounds", *TINY_TIMELINE)
    assert result.exit_code == 0, result.output
    assert describe_model(path)["timeline"]["recordings"] == 4


def broken(path):
    """Damages of a timeline prior, and what the message says about them."""
    contents = torch.load(path, weights_only=True)
    config, state = contents[CONFIG], contents[STATE]
    return {
        f"{CONFIG} is missing": {CONFIG: None},
        "which is unknown": {CONFIG: config | {"architecture": "mamba"}},
        "width in timeline_config must be from 1 to 1024": {CONFIG: config | {"width": 10**9}},
        "memory in timeline_config must be": {CONFIG: config | {"memory": True}},
        "recordings in timeline_config must be": {CONFIG: config | {"recordings": 0}},
        f"{STATE} lacks": {STATE: {}},
        "has the shape": {STATE: state | {"start": torch.zeros(3)}},
        "are not finite": {STATE: state | {"start": torch.full((8,), float("nan"))}},
    }


@pytest.mark.parametrize("number", range(8))
def test_a_model_with_a_broken_timeline_prior_still_plays(tmp_path, caplog, number):
    path = add_timeline(write_model(tmp_path / "m.distill"))
    message, entries = list(broken(path).items())[number]
    add_timeline(path, **entries)
    with caplog.at_level(logging.WARNING):
        model = load_model(path, "cpu")
    assert len(caplog.messages) == 1
    assert message in caplog.messages[0]
    assert "\n" not in caplog.messages[0]
    assert generate(model, GenerationConfig(duration=1)).config.sampler == "continue"
    with pytest.raises(ValueError, match=f"has none that can be used .*{message}"):
        generate(model, GenerationConfig(duration=1, sampler="timeline"))
    if number < 7:  # without its weights, a file is not known to hold wrong numbers
        assert message in describe_model(path)["timeline_fault"]
        assert "cannot be used" in run("info", path).output
