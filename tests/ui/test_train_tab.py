"""What the tab Train model does on the server: recordings, names, folders, and what it shows."""

import os
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.training.inspection import RATE, InspectedRecording
from distill_prior_gen.training.resuming import checkpoint_path
from distill_prior_gen.ui import page_messages
from distill_prior_gen.ui.recording_folders import find_folders, gather, name_uploads
from distill_prior_gen.ui.train_view import (
    describe_plan,
    newest_previews,
    show_curves,
    show_progress,
    show_result,
    show_verdicts,
)
from distill_prior_gen.ui.trainer import Material, Trainer
from distill_prior_gen.ui.training_jobs import FAILED, RUNNING, STOPPED, WAITING, Job, TrainingQueue
from tests.helpers.models import write_model
from tests.training.test_training import sound


def no_progress(share, desc):
    pass


@pytest.fixture
def place(tmp_path):
    """A folder of models, and a folder with two folders of recordings."""
    (tmp_path / "models").mkdir()
    for folder, count in (("bells", 6), ("bells/low", 2), ("rain", 5)):
        (tmp_path / "recordings" / folder).mkdir(parents=True)
        for index in range(count):
            path = tmp_path / "recordings" / folder / f"{folder[-3:]}{index}.wav"
            soundfile.write(path, sound(index, 0.3), 8000)
    (tmp_path / "recordings" / "texts").mkdir()
    (tmp_path / "recordings" / "texts" / "notes.txt").write_text("no sound")
    return tmp_path


class IdleQueue(TrainingQueue):
    """A queue whose trainings wait for ever."""

    def _work(self):
        pass


@pytest.fixture
def trainer(place):
    context = TabContext(
        (place / "models",), place / "takes", recordings_dirs=(place / "recordings",)
    )
    trainer = Trainer(context)
    trainer.queue = IdleQueue()
    return trainer


@pytest.fixture
def material(trainer):
    return trainer.open_folder("recordings/bells", no_progress)


def start(trainer, material, name="mine", ticked=None, stages=("timeline", "vocoder"), source=""):
    ticked = [item.name for item in material.recordings] if ticked is None else ticked
    return trainer.start(material, ticked, name, (40, 20), stages, source)


def test_folders_with_recordings_are_offered_by_names_that_hide_where_they_are(place):
    folders = find_folders([place / "recordings", place / "recordings" / "rain", place / "gone"])
    assert list(folders) == [
        "recordings",
        "recordings/bells",
        "recordings/bells/low",
        "recordings/rain",
        "rain",
    ]
    assert folders["recordings/bells/low"] == place / "recordings" / "bells" / "low"
    assert str(place) not in "".join(folders)


@pytest.mark.parametrize("key", ["..", "/etc", "recordings/../models", "recordings/texts", None, 3])
def test_other_folders_of_the_server_are_refused(trainer, key):
    with pytest.raises(gr.Error, match="There is no folder"):
        trainer.open_folder(key, no_progress)


@pytest.mark.parametrize("name", ["../models/a.wav", "/etc/passwd", "gone.wav", None])
def test_other_files_cannot_be_heard_or_trained_on(trainer, material, name):
    with pytest.raises(gr.Error, match="There is no recording"):
        trainer.listen(name, material)
    with pytest.raises(gr.Error, match="There is no recording"):
        start(trainer, material, ticked=[name])


def test_a_recording_is_heard_at_its_length_and_level(trainer, material):
    rate, samples = trainer.listen("lls0.wav", material)
    original = sound(0, 0.3)
    assert rate == RATE
    assert len(samples) == pytest.approx(len(original) * rate / 8000, abs=2)
    level = np.sqrt(np.mean((samples / 32_768) ** 2))
    assert level == pytest.approx(float(np.sqrt(np.mean(np.asarray(original) ** 2))), rel=0.05)


def test_a_training_gets_the_ticked_recordings_and_the_options(trainer, material, place):
    names = [item.name for item in material.recordings]
    assert names == [*(f"lls{index}.wav" for index in range(6)), "low/low0.wav", "low/low1.wav"]
    job = start(trainer, material, ticked=names[1:], stages=["vocoder"], source="demo")
    found = sorted(p.relative_to(job.folder).as_posix() for p in job.folder.rglob("*.wav"))
    assert found == names[1:]
    assert job.folder.name == "bells"
    assert job.folder.parent.stat().st_mode & 0o077 == 0
    first = place / "recordings" / "bells" / "lls1.wav"
    assert (job.folder / "lls1.wav").read_bytes() == first.read_bytes()
    assert job.output == place / "models" / "mine.distill"
    options = " ".join(job.options)
    assert options.startswith("--epochs 40 --prior-epochs 20 --preview-every 5 --no-timeline ")
    assert "--no-vocoder" not in options
    assert options.endswith("demo.distill")


@pytest.mark.parametrize("taken", ["mine.distill", "mine.md", "mine.distill.checkpoint"])
def test_nothing_is_overwritten_and_a_free_name_is_proposed(trainer, material, place, taken):
    (place / "models" / taken).touch()
    with pytest.raises(gr.Error, match="There is a model mine already; mine-2 would be"):
        start(trainer, material)
    start(trainer, material, name="mine-2")
    with pytest.raises(gr.Error, match="mine-2-2 would be a free name"):
        start(trainer, material, name="mine-2")
    assert (place / "models" / taken).read_bytes() == b""


@pytest.mark.parametrize("name", ["", "  ", "../out", "a/b", ".hidden", "-o", "a\nb", "x" * 81])
def test_a_name_that_could_lead_elsewhere_is_refused(trainer, material, name):
    with pytest.raises(gr.Error, match="The name of the model must begin with"):
        start(trainer, material, name=name)
    assert trainer.queue.jobs == []


def test_an_unknown_model_to_begin_with_is_refused(trainer, material):
    with pytest.raises(gr.Error, match="There is no model '/etc/passwd'"):
        start(trainer, material, source="/etc/passwd")


def test_a_recording_that_is_gone_is_named(trainer, material, place, monkeypatch):
    (place / "recordings" / "bells" / "lls3.wav").unlink()
    monkeypatch.setattr(page_messages, "is_served_locally", lambda: False)
    with pytest.raises(gr.Error, match=r"lls3\.wav.*no such file") as refused:
        start(trainer, material)
    assert str(place) not in refused.value.message


def test_stopped_trainings_go_on_with_the_recordings_they_began_with(trainer, material, place):
    job = start(trainer, material)
    checkpoint_path(job.output).touch()
    assert trainer.unfinished() == []  # because it waits
    job.stop()
    assert trainer.unfinished() == ["mine"]
    again = trainer.resume("mine", Material(), [])
    assert (again.folder, again.options) == (job.folder, ("--resume",))
    for name in ("mine", "../models/mine", None):
        with pytest.raises(gr.Error, match="can go on; choose one from the list"):
            trainer.resume(name, material, [])


def test_a_training_that_waits_can_be_taken_out_of_the_queue(trainer, material, place):
    first, second = (start(trainer, material, name=name) for name in ("first", "second"))
    assert trainer.waiting() == ["first", "second"]
    trainer.remove("first")
    assert (first.state, second.state) == (STOPPED, WAITING)
    assert trainer.waiting() == ["second"]
    first.run()  # the queue comes to it, and leaves it out
    assert not first.output.exists()
    for name in ("first", "../models/second", None):
        with pytest.raises(gr.Error, match="waits; choose one from the list"):
            trainer.remove(name)


def test_after_a_restart_resuming_takes_the_chosen_recordings(trainer, material, place):
    checkpoint_path(place / "models" / "old.distill").touch()
    with pytest.raises(gr.Error, match="Choose the recordings first"):
        trainer.resume("old", Material(), [])
    job = trainer.resume("old", material, ["lls0.wav"])
    assert os.listdir(job.folder) == ["lls0.wav"]


def test_other_machines_do_not_see_folders_in_the_reason_of_a_failure(trainer, place, monkeypatch):
    job = Job(place / "recordings" / "bells", place / "models" / "a.distill", ())
    job.message = f"Error: {job.folder} has 4 usable recordings; {job.output} was not written"
    assert trainer.message(job).startswith("bells has 4 usable recordings; /")
    monkeypatch.setattr(page_messages, "is_served_locally", lambda: False)
    assert trainer.message(job) == "bells has 4 usable recordings; a.distill was not written"


def test_uploads_of_one_name_are_all_kept(tmp_path):
    paths = [Path("x/a.wav"), Path("y/a.wav"), Path("z/b.wav"), Path("z/a.wav")]
    assert list(name_uploads(paths)) == ["a.wav", "a (2).wav", "b.wav", "a (3).wav"]
    (tmp_path / "a").write_text("first")
    gather({"within/a": tmp_path / "a"}, tmp_path / "new")
    assert (tmp_path / "new" / "within" / "a").read_text() == "first"


COSTS = {"VQ-VAE": 0.012, "prior": 0.0134}
"""Of the machine that the figures in docs/training.md were measured on."""


def recordings(count, seconds=10.0):
    return [InspectedRecording(f"{index}.wav", Path(), seconds, -20.0) for index in range(count)]


def test_the_plan_counts_only_what_is_ticked_and_usable():
    found = [*recordings(8), InspectedRecording("8.wav", Path(), 3.0, usable=False)]
    ticked = [item.name for item in found[2:]]
    text, possible = describe_plan(found, ticked, 40, 40, ["timeline", "vocoder"], COSTS)
    assert possible
    assert "**6 recordings, 60.0 seconds of sound.**" in text
    assert "3 levels of 64 codes" in text
    text, possible = describe_plan(found, ticked[:4], 40, 40, [], COSTS)
    assert not possible
    assert "choose more" in text
    assert describe_plan([], [], 40, 40, [], {}) == ("Choose recordings first.", False)


def test_the_expected_time_is_that_of_the_measured_training():
    # 23 recordings of 119 s took 97 s without the last two stages, which take three minutes.
    both = [
        describe_plan(
            recordings(23, 119 / 23), [f"{i}.wav" for i in range(23)], 40, 40, stages, COSTS
        )
        for stages in ([], ["timeline", "vocoder"])
    ]
    assert [text.split("about ")[1] for text, _ in both] == ["2 minutes.", "5 minutes."]


STATUS = {
    "share": 0.25,
    "seconds_left": 200.0,
    "text": "Training the <prior>...",
    "stages": {
        "VQ-VAE": {"epochs": 9, "train_losses": [2.0, 1.0, 0.0], "val_losses": [None, 2, 1]}
    },
    "verdicts": [["still learning", "Let it go on."]],
}


class RunningJob(Job):
    status = STATUS


def test_progress_curves_and_verdicts_of_a_status(tmp_path):
    job = RunningJob(tmp_path, tmp_path / "a&b.distill", (), RUNNING)
    shown = show_progress(job, "")
    assert "<b>a&amp;b</b> is being trained: Training the &lt;prior&gt;..." in shown
    assert "About 3 minutes left." in shown
    assert 'value="0.250"' in shown
    curves = show_curves(STATUS)
    # The highest loss, 2, is at the upper edge, and the lowest, 0, at the lower one.
    assert 'class="train" points="0.0,0.0 150.0,55.0 300.0,110.0"' in curves
    assert 'class="held-out" points="150.0,0.0 300.0,55.0"' in curves
    assert show_verdicts(STATUS) == "- **Still learning.** Let it go on."
    assert show_curves({}) == show_verdicts({}) == show_progress(None, "") == ""
    job.state = FAILED
    assert "a&amp;b</b> has failed. no &lt;space&gt;" in show_progress(job, "no <space>")


def test_figures_of_a_result_are_shown_as_far_as_there_are_any():
    result = {"vqvae": {"mel_error": 0.5}} | dict.fromkeys(
        ("prior", "timeline", "vocoder", "takes")
    )
    assert show_result(result).splitlines()[2:] == ["| mel error of held-out recordings | 0.500 |"]
    takes = {"takes": 8, "seconds": 5.0, "kernel": 2.5, "kernel_of_noise": 80, "copies": 0.01}
    first = show_result(result | {"takes": takes}).splitlines()[2]
    assert first == "| distance of takes from the recordings | 2.5; of white noise 80.0 |"
    assert show_result({}) == ""


def test_the_newest_previews_of_each_kind_are_found(tmp_path):
    names = ["0-recording", "1-vqvae-00005", "1-vqvae-00010", "2-prior-00005", "3-timeline-00001"]
    for name in names:
        (tmp_path / f"{name}.wav").touch()
    newest = {kind: path.stem for kind, path in newest_previews(tmp_path).items()}
    assert newest == {
        "original": "0-recording",
        "copy": "1-vqvae-00010",
        "take": "3-timeline-00001",
    }
    assert newest_previews(tmp_path / "none") == {}


def test_a_model_can_be_trained_further_only_if_it_is_on_offer(trainer, material, place):
    write_model(place / "models" / "other.distill")
    job = start(trainer, material, source="other.distill")
    assert job.options[-2:] == ("--from", str(place / "models" / "other.distill"))
