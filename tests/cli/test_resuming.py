"""Trainings that are killed and go on, and what stands in their way."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.cli import cli
from distill_prior_gen.training import data, resuming, timeline
from distill_prior_gen.training.resuming import TrainingState, read_state
from tests.training.test_training import TINY_PRIOR, sound

SHORT = (
    *("--codebook-size", 8, "--levels", 1, "--epochs", 5, "--batch-size", 4, "--device", "cpu"),
    *("--prior-batch-size", 4, "--prior-epochs", 2, *TINY_PRIOR),
)
RUN = (*SHORT, "--timeline-epochs", 2, "--vocoder-epochs", 2)

WITH_KILLS = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from distill_prior_gen.cli import cli
from distill_prior_gen.training import data, resuming, timeline, vocoder

data.MIN_EPOCH_CHUNKS, timeline.EPOCH_STEPS, vocoder.EPOCH_STEPS = 16, 3, 3
resuming.INTERVAL_S, resuming.MAX_COST = 0.0, 1e9
event, wanted, number = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
stage, begin_epoch = "", resuming.Stage.begin_epoch


def begin(self):
    global stage
    stage = self.name
    begin_epoch(self)


def count(*arguments):
    global number
    number -= stage == wanted
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


resuming.Stage.begin_epoch = begin


if event == "step":
    register_optimizer_step_post_hook(count)
elif event == "write":  # of a checkpoint, a model or a picture, before it gets its name
    sync = os.fsync
    os.fsync = lambda descriptor: (count(), sync(descriptor))
cli()
"""


def start(*arguments, kill=("never", "", 1), cwd=None):
    """Run `train` in a process of its own.

    Args:
        kill: event, stage and number of the event in this stage at which it kills itself.
    """
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1000000000", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITH_KILLS, *kill, "train", *arguments]
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )


def write_sounds(folder, count=6):
    folder.mkdir()
    for index in range(count):
        soundfile.write(folder / f"{index}.wav", sound(index, 0.8), 8000)


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.longest
@pytest.mark.slow
@pytest.mark.posix
def test_a_training_that_was_killed_again_and_again_gives_the_same_bytes(tmp_path):
    write_sounds(tmp_path / "sounds")
    whole = start("sounds", "-o", "whole/m.distill", *RUN, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    kills = [
        ("step", "VQ-VAE", 3),  # before there are codes
        ("write", "VQ-VAE", 8),  # after k-means has found them, while a checkpoint is written
        ("step", "prior", 3),
        ("step", "timeline", 3),
        ("step", "vocoder", 3),
    ]
    checkpoint = tmp_path / "m.distill.checkpoint"
    for number, kill in enumerate(kills):
        how = ("--resume",) if number else RUN
        killed = start("sounds", "-o", "m.distill", *how, kill=kill, cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        state = read_state(checkpoint)
        assert list(state.stages)[-1] == kill[1]
        assert not state.finished(kill[1])
    ended = start("sounds", "-o", "m.distill", "--resume", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for name in ("m.distill", "m.png", "m.md"):
        assert sha256(tmp_path / name) == sha256(tmp_path / "whole" / name)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["m.distill", "m.md", "m.png", "sounds", "whole"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)
    monkeypatch.setattr(timeline, "EPOCH_STEPS", 2)
    write_sounds(tmp_path / "sounds")

    def invoke(*arguments):
        command = ["train", "sounds", "-o", "m.distill", "--no-vocoder", *arguments]
        return CliRunner().invoke(cli, list(map(str, command)))

    return invoke


def interrupt_in(monkeypatch, stage):
    """Send Ctrl-C in a step of a stage, after the checkpoint of the step before it."""
    monkeypatch.setattr(resuming, "INTERVAL_S", 0.0)
    monkeypatch.setattr(resuming, "MAX_COST", 1e9)
    write = TrainingState.write

    def interrupt(self, name, state):
        write(self, name, state)
        if name == stage:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingState, "write", interrupt)
    return write


@pytest.fixture
def stopped(run, monkeypatch):
    """A training that was stopped in its first stage."""
    write = interrupt_in(monkeypatch, "VQ-VAE")
    result = run(*SHORT, "--seed", 3)
    monkeypatch.setattr(TrainingState, "write", write)
    return result


@pytest.mark.posix
def test_a_training_that_was_stopped_says_how_it_goes_on(run, stopped):
    assert stopped.exit_code == 130
    command = "distill-prior train sounds -o m.distill --resume"
    assert f"m.distill.checkpoint is kept; '{command}' goes on with the training" in stopped.stderr
    before = Path("m.distill.checkpoint").read_bytes()
    again = run()
    assert again.exit_code == 1
    assert "m.distill.checkpoint is of a training that was not finished; add --resume" in (
        again.stderr
    )
    assert Path("m.distill.checkpoint").read_bytes() == before


@pytest.mark.posix
def test_options_that_contradict_the_first_ones_are_refused(run, stopped):
    for option, was in (
        ("--levels", 1),
        ("--seed", 3),
        ("--heads", 2),
        ("--patience", "not given"),
    ):
        result = run("--resume", option, 7)
        assert result.exit_code == 2
        assert f"{option} is 7, but was {was} when the training began" in result.stderr
    result = run("--resume", "--no-timeline")
    assert "--no-timeline is True, but was not given when the training began" in result.stderr


@pytest.mark.posix
def test_recordings_that_changed_are_named(run, stopped, tmp_path):
    (tmp_path / "sounds" / "5.wav").unlink()
    soundfile.write("sounds/6.wav", sound(6, 0.8), 8000)
    soundfile.write("sounds/4.wav", sound(9, 0.8), 8000)
    result = run("--resume")
    assert result.exit_code == 1
    assert (
        "the recordings in sounds are not those that the training began with: 5.wav is gone, "
        "6.wav is new, 4.wav is another sound; put them back, or begin anew with --force"
    ) in result.stderr
    assert Path("m.distill.checkpoint").exists()


def test_there_must_be_something_to_resume(run):
    result = run("--resume")
    assert result.exit_code == 1
    assert "there is no m.distill.checkpoint to go on with; leave out --resume" in result.stderr


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"no checkpoint", "is damaged, or not the checkpoint of a training"),
        (Evil(), "is damaged, or not the checkpoint of a training"),
        ({"format": "distill_model"}, "is not the checkpoint of a training"),
        ({"format": "distill_training", "version": 99}, "is from another version"),
        ({"format": "distill_training", "version": 1}, "is damaged: it has no options"),
        (
            {
                "format": "distill_training",
                "version": 1,
                "recordings": {},
                "date": "",
                "options": {},
                "stages": {"prior": 1},
            },
            "is damaged: its stages are not tables",
        ),
    ],
)
def test_what_is_no_checkpoint_is_refused_and_runs_no_code(run, contents, message):
    if isinstance(contents, bytes):
        Path("m.distill.checkpoint").write_bytes(contents)
    else:
        torch.save(contents, "m.distill.checkpoint")
    result = run("--resume")
    assert result.exit_code == 1
    assert f"m.distill.checkpoint {message}" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("evil").exists()


@pytest.mark.posix
@pytest.mark.parametrize("key", ["network", "optimizer", "generator", "generator_before", "best"])
def test_a_state_that_does_not_fit_is_refused(run, stopped, key):
    contents = torch.load("m.distill.checkpoint")
    contents["stages"]["VQ-VAE"][key] = {"unknown": torch.zeros(1)}
    torch.save(contents, "m.distill.checkpoint")
    result = run("--resume")
    assert result.exit_code == 1
    assert "m.distill.checkpoint is damaged: the VQ-VAE in it does not fit" in result.stderr


@pytest.mark.posix
@pytest.mark.slow
def test_a_model_of_another_training_is_not_replaced_when_one_goes_on(run, stopped, tmp_path):
    Path("m.distill").write_text("of another")
    refused = run("--resume")
    assert refused.exit_code == 1
    assert "m.distill exists; choose another name or add --force" in refused.stderr
    forced = run("--resume", "--force")
    assert forced.exit_code == 0, forced.stderr
    assert read_checkpoint("m.distill").prior_state is not None
    assert not Path("m.distill.checkpoint").exists()


@pytest.mark.posix
@pytest.mark.slow
def test_a_stage_that_was_stopped_early_goes_on_in_the_same_file(run, monkeypatch):
    write = interrupt_in(monkeypatch, "timeline")
    first = run(*SHORT, "--timeline-epochs", 2)
    assert first.exit_code == 130
    monkeypatch.setattr(TrainingState, "write", write)
    result = run("--resume", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["timeline"]["epochs_trained"] == 2
    assert read_checkpoint("m.distill").timeline_state is not None
    assert sorted(os.listdir()) == ["m.distill", "m.md", "m.png", "sounds"]


def test_checkpoints_take_less_than_a_hundredth_of_the_time(tmp_path, monkeypatch):
    state = TrainingState(tmp_path / "m.checkpoint", {}, {}, "")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    save = torch.save

    def slow_save(*arguments):
        save(*arguments)
        now[0] += 2.0

    monkeypatch.setattr(torch, "save", slow_save)
    state.__post_init__()
    written = []
    for second in range(2000):
        now[0] += 1.0
        if state.due:
            state.write("prior", {"network": {}})
            written.append(second)
    assert written[0] == 0  # a training can be resumed from the beginning
    assert 2.0 * len(written[1:]) / now[0] <= 0.0105


# Faults


LIMITED = """
import resource, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from distill_prior_gen.cli import cli
from distill_prior_gen.training import data, resuming

data.MIN_EPOCH_CHUNKS = 64
resuming.INTERVAL_S, resuming.MAX_COST = 0.0, 1e9
limit, steps = sys.argv.pop(1), int(sys.argv.pop(1))


def pages():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()


def count(*arguments):
    global steps
    steps -= 1
    if steps == 0 and limit == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (pages(), resource.RLIM_INFINITY))
    if steps == 0 and limit == "file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))


register_optimizer_step_post_hook(count)
cli()
"""


def start_limited(limit, steps, *arguments, cwd):
    command = [sys.executable, "-c", LIMITED, limit, steps, "train", "sounds", *arguments]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1000000000", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )


LINUX = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")


@pytest.mark.longest
@LINUX
@pytest.mark.slow
def test_a_training_that_runs_out_of_memory_goes_on(tmp_path):
    write_sounds(tmp_path / "sounds")
    options = ("--no-timeline", "--no-vocoder", *SHORT, "--batch-size", 64)
    failed = start_limited("memory", 2, "-o", "m.distill", *options, cwd=tmp_path)
    assert failed.returncode == 1
    assert "out of memory while training the VQ-VAE; lower batch_size (64)" in failed.stderr
    command = "distill-prior train sounds -o m.distill --resume"
    assert f"or close other programs, and go on with '{command}'" in failed.stderr
    resumed = start("sounds", "-o", "m.distill", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert not (tmp_path / "m.distill.checkpoint").exists()


@pytest.mark.longest
@LINUX
@pytest.mark.slow
def test_a_disk_that_is_full_loses_nothing(tmp_path):
    write_sounds(tmp_path / "sounds")
    options = ("--no-timeline", "--no-vocoder", *SHORT)
    full = start_limited("file", 3, "-o", "m.distill", *options, cwd=tmp_path)
    assert full.returncode == 1
    reason = "m.distill: the file would be larger than is allowed"
    assert f"Error: {reason}; the model could not be saved in another folder either" in full.stderr
    command = "distill-prior train sounds -o m.distill --resume"
    assert f"; make room, and go on with '{command}'" in full.stderr
    assert not (tmp_path / "m.distill").exists()
    assert read_state(tmp_path / "m.distill.checkpoint").stages["VQ-VAE"]["train_losses"] == []
    resumed = start("sounds", "-o", "m.distill", "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert read_checkpoint(tmp_path / "m.distill").prior_state is not None


@pytest.mark.posix
@pytest.mark.slow
def test_recordings_may_disappear_and_a_loaded_model_may_be_replaced(run, monkeypatch):
    assert run(*SHORT, "--no-timeline").exit_code == 0
    model, config = load_model("m.distill", "cpu"), GenerationConfig(duration=1, seed=1)
    before = generate(model, config).audio
    log_mels = data.Dataset.log_mels

    def remove(self, chunks):
        for path in Path("sounds").glob("*.wav"):
            path.unlink()
        return log_mels(self, chunks)

    monkeypatch.setattr(data.Dataset, "log_mels", remove)
    again = run(*SHORT, "--no-timeline", "--seed", 5, "--force")
    assert again.exit_code == 0, again.stderr
    assert not list(Path("sounds").iterdir())
    assert generate(model, config).audio.tolist() == before.tolist()
    assert generate(load_model("m.distill", "cpu"), config).audio.tolist() != before.tolist()
