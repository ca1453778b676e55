import os
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.ui.training_jobs import (
    DONE,
    FAILED,
    RUNNING,
    STOPPED,
    WAITING,
    TrainingQueue,
)
from tests.training.test_training import TINY_PRIOR, sound

resource = pytest.importorskip("resource")  # Windows has none

SMALL = tuple(
    map(str, ("--codebook-size", 8, "--levels", 1, "--device", "cpu", "--no-timeline", *TINY_PRIOR))
)
QUICK = (*SMALL, "--no-vocoder", "--epochs", "2", "--prior-epochs", "1")
LONG = (*SMALL, "--no-vocoder", "--epochs", "2", "--prior-epochs", "10000", "--patience", "10000")


@pytest.fixture
def sounds(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "sounds"
    folder.mkdir()
    for index in range(6):
        soundfile.write(folder / f"{index}.wav", sound(index, 0.8), 8000)
    return folder


@pytest.fixture
def trainings():
    trainings = TrainingQueue()
    yield trainings
    for job in reversed(trainings.jobs):
        job.stop()
    wait(lambda: all(job.state not in (WAITING, RUNNING) for job in trainings.jobs))


def wait(condition, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def stages(job):
    return job.status.get("stages", {})


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.posix
def test_trainings_wait_stop_and_go_on(trainings, sounds, tmp_path):
    first = trainings.add(sounds, tmp_path / "a.distill", LONG)
    second = trainings.add(sounds, tmp_path / "b.distill", QUICK)
    third = trainings.add(sounds, tmp_path / "c.distill", QUICK)
    wait(lambda: len(stages(first).get("prior", {}).get("val_losses", [])) >= 5)
    assert (first.state, second.state, third.state) == (RUNNING, WAITING, WAITING)
    assert trainings.running is first
    status = first.status
    assert 0 < status["share"] < 1
    assert status["seconds_left"] > 0
    assert stages(first)["VQ-VAE"]["epochs"] == len(stages(first)["VQ-VAE"]["train_losses"]) == 2
    kinds = [kind for kind, advice in status["verdicts"]]
    assert kinds[-1] == "too few recordings"
    third.stop()
    first.stop()
    wait(lambda: second.state == DONE)
    assert first.state == STOPPED
    assert read_checkpoint(tmp_path / "a.distill").prior_state is not None
    assert second.result["path"] == str(tmp_path / "b.distill")
    assert third.state == STOPPED
    assert not (tmp_path / "c.distill").exists()
    again = trainings.add(sounds, tmp_path / "a.distill", ["--resume"])
    wait(lambda: len(stages(again).get("prior", {}).get("val_losses", [])) >= 1)
    again.stop()
    wait(lambda: again.state == STOPPED)


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.posix
def test_a_training_that_crashes_says_why_and_the_next_one_runs(trainings, sounds, tmp_path):
    killed = trainings.add(sounds, tmp_path / "a.distill", LONG)
    refused = trainings.add(sounds, tmp_path / "no.distill", ["--levels", "99"])
    last = trainings.add(sounds, tmp_path / "b.distill", QUICK)
    wait(lambda: stages(killed))
    os.kill(killed._process.pid, signal.SIGKILL)
    wait(lambda: last.state == DONE)
    assert killed.state == refused.state == FAILED
    assert "close other programs and resume it" in killed.message
    assert "Invalid value for '--levels'" in refused.message


APP = """
import sys, time
from pathlib import Path
from distill_prior_gen.ui.training_jobs import TrainingQueue

job = TrainingQueue().add(Path("sounds"), Path("a.distill"), sys.argv[1:])
while "prior" not in job.status.get("stages", {}):
    time.sleep(0.05)
print("training", flush=True)
time.sleep(1000)
"""


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.posix
def test_a_training_keeps_what_it_has_learned_if_the_app_is_killed(sounds, tmp_path):
    app = subprocess.Popen(
        [sys.executable, "-c", APP, *LONG], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert app.stdout.readline() == "training\n"
    app.kill()
    app.wait()
    model = tmp_path / "a.distill"
    wait(lambda: model.exists() and read_checkpoint(model).prior_state is not None)


LINUX = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")


@LINUX
@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.parametrize(
    ("limit", "size", "message"),
    [
        (resource.RLIMIT_FSIZE, 1000, "the file would be larger than is allowed"),
        (resource.RLIMIT_AS, 10**8, "out of memory while training the VQ-VAE; lower batch_size"),
    ],
)
def test_a_full_disk_or_memory_is_explained_and_the_training_goes_on(
    trainings, sounds, tmp_path, limit, size, message
):
    full = trainings.add(sounds, tmp_path / "a.distill", [*QUICK, "--epochs", "5"])
    wait(lambda: stages(full))
    resource.prlimit(full._process.pid, limit, (size, resource.RLIM_INFINITY))
    wait(lambda: full.state == FAILED)
    assert message in full.message
    assert "--resume" in full.message
    assert not (tmp_path / "a.distill").exists()
    again = trainings.add(sounds, tmp_path / "a.distill", ["--resume"])
    wait(lambda: again.state not in (WAITING, RUNNING))
    assert again.state == DONE, again.message
