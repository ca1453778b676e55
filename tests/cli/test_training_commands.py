"""What `train` and `train-prior` do with names, disks, signals and failures."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.cli import cli
from distill_prior_gen.training import data, interrupts, output, saving, timeline
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import check_space, reserve, save
from tests.helpers.models import add_timeline, write_model
from tests.training.test_training import TINY_PRIOR, sound

SMALL_RUN = (
    *("--codebook-size", 8, "--levels", 1, "--epochs", 2, "--device", "cpu", "--prior-epochs", 1),
    *TINY_PRIOR,
)
PRIOR_RUN = (*TINY_PRIOR, "--epochs", 1, "--device", "cpu")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "MIN_EPOCH_CHUNKS", 8)
    monkeypatch.setattr(timeline, "EPOCH_STEPS", 2)
    (tmp_path / "sounds" / "within").mkdir(parents=True)
    for index in range(6):
        name = f"within/{index}.wav" if index == 5 else f"{index}.wav"
        soundfile.write(tmp_path / "sounds" / name, sound(index, 0.5), 8000)
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"RIFF, but no more")

    def invoke(command, *arguments):
        return CliRunner().invoke(cli, [command, *map(str, arguments)])

    return invoke


def train(run, *more, output="m.distill"):
    without = ("--no-timeline", "--no-vocoder")
    return run("train", "sounds", "-o", output, *SMALL_RUN, *without, *more)


@pytest.mark.slow
def test_one_line_says_what_is_used_before_the_training(run):
    result = train(run, "--json")
    assert result.exit_code == 0, result.output
    first = result.stderr.splitlines()[0]
    described = json.loads(result.stdout)
    (held_out,) = described["held_out"]
    assert f"training on 2.5 s of 5 files; held out 0.5 s: {held_out['name']} (0.5 s)" in first
    assert "left out 1: broken.wav cannot be read" in first
    assert described["validation"] == [held_out["name"]]
    assert described["timeline"] is None
    assert read_checkpoint("m.distill").timeline_state is None
    assert sorted(os.listdir()) == ["m.distill", "m.md", "m.png", "sounds"]


HOLD = """
import sys
from pathlib import Path
from distill_prior_gen.training.saving import reserve

with reserve(Path(sys.argv[1])):
    print("reserved", flush=True)
    sys.stdin.read()
"""


@pytest.mark.posix
def test_a_second_training_to_the_same_name_is_refused_until_the_first_has_ended(run, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "m.distill"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "reserved\n"
    result = run("train", "sounds", "-o", "m.distill")
    assert result.exit_code == 1
    assert "m.distill is being trained by another process" in result.stderr
    process.kill()  # leaves its lock file behind
    process.communicate()
    with reserve(tmp_path / "m.distill"):
        pass
    assert os.listdir() == ["sounds"]


@pytest.mark.posix
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("sounds/0.wav/m.distill", "part of the path is a file, not a folder"),
        ("new/" + "n" * 300 + ".distill", "the name is too long"),
        ("/proc/m.distill", "/proc/m.distill: "),
    ],
)
def test_places_that_cannot_be_written_to_are_refused_before_reading(run, output, message):
    (Path("sounds") / "1.wav").unlink()  # too few are left: would be the error of reading
    (Path("sounds") / "2.wav").unlink()
    result = run("train", "sounds", "-o", output)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def plotted(monkeypatch):
    """Names of the losses in the pictures that are drawn."""
    names, plot = [], output._plot_losses

    def record(figure, histories):
        names.extend(histories)
        plot(figure, histories)

    monkeypatch.setattr(output, "_plot_losses", record)
    return names


def sampler_of(path):
    """The sampler that a short take of a model is drawn with."""
    return generate(load_model(path, "cpu"), GenerationConfig(duration=1)).config.sampler


@pytest.mark.slow
def test_train_has_the_timeline_prior_as_third_stage(run, plotted):
    command = ("train", "sounds", "-o", "m.distill", *SMALL_RUN, "--no-vocoder", "--json")
    result = run(*command, "--timeline-epochs", 2)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["timeline"]["epochs_trained"] == 2
    assert "timeline: 2 epochs, perplexity" in result.stderr
    assert plotted == ["VQ-VAE, mel error", "prior, cross-entropy", "timeline, cross-entropy"]
    assert Path("m.png").read_bytes().startswith(b"\x89PNG")
    assert read_checkpoint("m.distill").prior_state is not None
    assert sampler_of("m.distill") == "timeline"


def interrupt_timeline(monkeypatch, function, epoch):
    """Send Ctrl-C when the training of the timeline prior calls a function in an epoch."""
    original = getattr(timeline._TimelineTraining, function)

    def interrupt(self, number, *more):
        if number == epoch:
            signal.raise_signal(signal.SIGINT)
        return original(self, number, *more)

    monkeypatch.setattr(timeline._TimelineTraining, function, interrupt)


VOCODER_COMMAND = "'distill-prior train-vocoder m.distill sounds' trains a vocoder"
TIMELINE_COMMAND = "'distill-prior train-timeline m.distill sounds' trains a timeline prior"


@pytest.mark.slow
@pytest.mark.posix
@pytest.mark.parametrize(
    ("function", "epoch", "note", "sampler"),
    [
        (
            *("loss", 0),
            f"the model is complete, without a timeline prior; {TIMELINE_COMMAND}; "
            f"{VOCODER_COMMAND}",
            "continue",
        ),
        ("validate", 1, f"what was learned so far is kept; {VOCODER_COMMAND}", "timeline"),
    ],
    ids=["before an epoch", "after one"],
)
def test_ctrl_c_in_the_third_stage_keeps_the_model(
    run, monkeypatch, function, epoch, note, sampler
):
    interrupt_timeline(monkeypatch, function, epoch)
    result = run("train", "sounds", "-o", "m.distill", *SMALL_RUN, "--json")
    assert result.exit_code == 130
    assert f"Interrupted: {note}\n" in result.stderr
    assert json.loads(result.stdout)["vocoder"] is None
    assert read_checkpoint("m.distill").vocoder_state is None
    assert sampler_of("m.distill") == sampler
    kept = ["m.distill", "m.distill.checkpoint", "m.md", "m.png", "sounds"]
    assert sorted(os.listdir()) == kept


@pytest.mark.slow
def test_a_failure_in_the_third_stage_keeps_the_model_and_says_so(run, monkeypatch):
    monkeypatch.setattr(
        timeline._TimelineTraining, "loss", lambda *arguments: torch.tensor(float("nan"))
    )
    result = run("train", "sounds", "-o", "m.distill", *SMALL_RUN)
    assert result.exit_code == 1
    assert "; m.distill is complete, without a timeline prior" in result.stderr
    assert sampler_of("m.distill") == "continue"


def test_train_prior_trains_a_timeline_prior_as_well(run, plotted):
    path = write_model(Path("m.distill"), with_prior=False)
    command = ("train-prior", path, "sounds", *PRIOR_RUN, "--timeline-epochs", 1)
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    described = json.loads(result.stdout)
    assert described["prior"]["epochs"] == described["timeline"]["epochs_trained"] == 1
    assert plotted == ["prior, cross-entropy", "timeline, cross-entropy"]
    assert sampler_of(path) == "timeline"
    refused = run(*command)
    assert refused.exit_code == 1
    assert "m.distill has a prior; add --force to replace it" in refused.stderr


def test_train_prior_replaces_a_timeline_prior_only_if_forced(run):
    path = add_timeline(write_model(Path("m.distill"), with_prior=False))
    before = read_checkpoint(path).timeline_state
    command = ("train-prior", path, "sounds", *PRIOR_RUN, "--timeline-epochs", 1)
    refused = run(*command)
    assert refused.exit_code == 1
    assert "m.distill has a timeline prior; add --force to replace it" in refused.stderr
    assert run(*command, "--no-timeline").exit_code == 0
    after = read_checkpoint(path).timeline_state
    assert all(tensor.equal(after[name]) for name, tensor in before.items())
    assert run(*command, "--force").exit_code == 0
    assert read_checkpoint(path).timeline_state.keys() != before.keys()


@pytest.mark.posix
@pytest.mark.parametrize(
    ("function", "epoch", "note", "sampler"),
    [
        ("loss", 0, f"the prior is complete; {TIMELINE_COMMAND}", "continue"),
        ("validate", 1, "what was learned so far is kept", "timeline"),
    ],
    ids=["before an epoch", "after one"],
)
def test_ctrl_c_after_the_prior_keeps_it(run, monkeypatch, function, epoch, note, sampler):
    path = write_model(Path("m.distill"), with_prior=False)
    interrupt_timeline(monkeypatch, function, epoch)
    result = run("train-prior", path, "sounds", *PRIOR_RUN)
    assert result.exit_code == 130
    assert f"Interrupted: {note}\n" in result.stderr
    assert sampler_of(path) == sampler


def test_a_disk_that_is_too_full_is_refused(tmp_path):
    check_space(tmp_path / "m.distill", 1)
    with pytest.raises(OSError, match=r"m\.distill has \d+ MB left, and the training needs"):
        check_space(tmp_path / "m.distill", 2**62)


@pytest.mark.posix
def test_a_model_that_cannot_be_saved_is_saved_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.distill").write_text("of another")

    def write(path, overwrite):
        write_model(path) if path.parent == tmp_path else Path("/proc/no/folder").write_text("")

    path, failure = save(Path("/proc/m.distill"), write)
    assert path == tmp_path / "m-2.distill"
    assert read_checkpoint(path).prior_state
    assert "there is no such file" in failure
    assert (tmp_path / "m.distill").read_text() == "of another"


def interrupt_when(monkeypatch, done):
    """Send this process Ctrl-C as soon as a line of this package runs for which `done` is true."""

    def trace(frame, event, argument):
        if "distill_prior_gen" not in frame.f_code.co_filename:
            return None
        if done(frame):
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)
        return None

    sys.settrace(trace)


@pytest.mark.parametrize("function", ["find_recordings", "log_mels", "group_copies"])
def test_ctrl_c_before_there_is_anything_to_keep_says_so(run, monkeypatch, function):
    interrupt_when(monkeypatch, lambda frame: frame.f_code.co_name == function)
    result = train(run)
    sys.settrace(None)
    assert result.exit_code == 130
    assert "Interrupted before there was anything to keep; m.distill was not" in result.stderr
    assert os.listdir() == ["sounds"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "prior", "checkpoint"),
    [
        ("codebook_health", False, ["m.distill.checkpoint"]),
        ("overfitting_warnings", True, []),  # nothing is left to train
        ("plot_training", True, []),
    ],
)
def test_ctrl_c_at_any_moment_after_a_stage_keeps_the_stage(
    run, monkeypatch, function, prior, checkpoint
):
    interrupt_when(monkeypatch, lambda frame: frame.f_code.co_name == function)
    result = train(run)
    sys.settrace(None)
    assert result.exit_code == 130
    assert "Interrupted: " in result.stderr
    assert (read_checkpoint("m.distill").prior_state is not None) == prior
    assert sorted(os.listdir()) == ["m.distill", *checkpoint, "m.md", "m.png", "sounds"]


@pytest.mark.slow
def test_the_old_model_stays_until_the_new_one_is_complete(run, monkeypatch):
    write_model(Path("m.distill"))
    before = Path("m.distill").read_bytes()
    interrupt_when(monkeypatch, lambda frame: frame.f_code.co_name == "save_model")
    result = train(run, "--force")
    sys.settrace(None)
    assert result.exit_code == 130
    assert Path("m.distill").read_bytes() == before
    assert read_checkpoint("m-vqvae.distill").prior_state is None
    assert result.stdout == "m-vqvae.distill\n"
    os.unlink("m-vqvae.distill")
    assert train(run, "--force").exit_code == 0
    assert read_checkpoint("m.distill").vqvae_shape["codebook_size"] == 8
    assert sorted(os.listdir()) == ["m.distill", "m.md", "m.png", "sounds"]


def test_a_prior_goes_elsewhere_if_its_model_was_changed_meanwhile(run, monkeypatch, tmp_path):
    path = write_model(tmp_path / "m.distill", with_prior=False)

    def change(frame):
        if frame.f_code.co_name == "overfitting_warnings":
            write_model(path, with_prior=False, seed=5)
            sys.settrace(None)
        return False

    interrupt_when(monkeypatch, change)
    result = run("train-prior", "m.distill", "sounds", *PRIOR_RUN, "--no-timeline")
    sys.settrace(None)
    assert result.exit_code == 1
    assert "was changed during the training; the model was saved as" in result.stderr
    assert read_checkpoint("m.distill").prior_state is None
    assert read_checkpoint("m-2.distill").prior_state is not None


def test_signals_are_deferred_and_their_handlers_restored():
    before = signal.getsignal(signal.SIGINT)
    with defer_signals() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.pending
        with pytest.raises(KeyboardInterrupt), interruption.allowed():
            pass
        with pytest.raises(KeyboardInterrupt), interruption.allowed():
            signal.raise_signal(signal.SIGINT)
        with defer_signals() as same:
            assert same is interruption
    assert signal.getsignal(signal.SIGINT) is before
    assert interrupts._active is None
    assert saving.unused_path(Path("/nowhere/m.distill")) == Path("/nowhere/m.distill")
