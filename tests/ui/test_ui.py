"""The Prior tab through the endpoints of an app that is really served, and its command."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import wave
from dataclasses import asdict, replace
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.export.loudness import measure_loudness
from distill_prior_gen.formats import LOOP_NOTES
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.store.words import format_value
from distill_prior_gen.ui.app import create_app
from distill_prior_gen.ui.library import find_models, load_cached_model
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.session import MAX_SESSION_TAKES, Session
from distill_prior_gen.ui.settings import SETTINGS
from distill_prior_gen.ui.take import describe, label_takes
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import (
    page_values,
    remove_take,
    undo_remove,
)
from tests.helpers.models import add_timeline, write_model

pytestmark = pytest.mark.slow

VALUES = {
    "model": "small.distill",
    "temperature": 0.8,
    "top_p": 0.9,
    "top_k": 5,
    "duration": 2,
    "loop": False,
    "seed": "7",
    "like": "",
    "steer": [],
    "loud": 0.5,
    "bright": 0.5,
    "noisy": 0.5,
    "dense": 0.5,
    "wander": 1.0,
    "courses": "",
    "prompt": None,
    "start": "continue",
    "vary": 0.3,
    "min_p": 0,
    "temperature_end": "",
    "temperature_by_level": "",
    "top_p_by_level": "",
    "top_k_by_level": "",
    "sampler": "auto",
    "context_columns": 2,
    "overlap": 50,
    "join": "spectral",
    "vocoder": "mel-griffin-lim",
    "quality": "fast",
    "width": 0,
    "count": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_path):
    folder = tmp_path_factory.mktemp("app")
    (folder / "models").mkdir()
    shutil.copy(model_path, folder / "models" / "small.distill")
    write_model(folder / "models" / "no_prior.distill", with_prior=False)
    (folder / "models" / "broken.distill").write_text("not a model")
    (folder / "models" / "notes.txt").write_text("not a model either")
    shutil.copy(model_path, folder / "elsewhere.distill")
    return folder


@pytest.fixture(scope="module")
def context(folder):
    return TabContext((folder / "models",), folder / "takes", device="cpu")


@pytest.fixture(scope="module")
def url(context):
    app = create_app(context)
    limit = 16 * 2**20
    _, url, _ = app.launch(
        prevent_thread_lock=True, quiet=True, inbrowser=False, max_file_size=limit
    )
    yield url
    app.close()


@pytest.fixture
def client(url):
    return Client(url, verbose=False)


@pytest.fixture(scope="module")
def recording(folder):
    """Two strokes of a bell, 1.2 s."""
    time = np.arange(9600) / 8000
    stroke = np.exp(-6 * (time % 0.6)) * np.sin(2 * np.pi * 700 * time)
    soundfile.write(folder / "Two strokes.wav", stroke / 2, 8000)
    return folder / "Two strokes.wav"


def page(**values):
    """The values of the controls, for `TakeMaker.make_takes`."""
    return [(VALUES | values)[name] for name in SETTINGS]


def silently(share, desc):
    pass


def make(client, **values):
    if isinstance(values.get("prompt"), Path):
        values["prompt"] = handle_file(values["prompt"])
    return client.predict(*(VALUES | values).values(), api_name="/generate_prior_take")


def export(client, number=1, form="wav", rate=0, depth=24, tags=("", "", ""), loudness=""):
    values = [number, form, rate, depth, *tags, loudness]
    return client.predict(*values, api_name="/export_prior_take")


def test_a_take_is_served_with_its_seed_settings_and_command(client, folder, tmp_path, run_command):
    played, words, command, *_ = make(client)
    with wave.open(played) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 16_000)
    assert "**Seed 7**, 2 s of sound in " in words
    assert "Temperature 0.8, top-p 0.9, top-k 5, min-p off, continue sampler" in words
    assert ", 2 context columns" in words
    words = shlex.split(command)
    assert words[:3] == ["distill-prior", "sample", str(folder / "models" / "small.distill")]
    run_command(*words[1:], "-o", "same.wav", "--bit-depth", "32")
    again, _ = soundfile.read(tmp_path / "same.wav")
    heard, _ = soundfile.read(played)
    assert np.abs(heard - again).max() < 2 / 32768


@pytest.fixture
def run_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        command = [sys.executable, "-m", "distill_prior_gen", *words]
        subprocess.run(command, check=True, capture_output=True)

    return run


@pytest.mark.parametrize(
    ("values", "config"),
    [
        ({"prompt": True}, {"prompt": True}),
        ({"prompt": True, "start": "recording"}, {"prompt": True, "prompt_crossfade": True}),
        ({"prompt": True, "start": "vary", "vary": 0.5}, {"prompt": True, "vary": 0.5}),
        ({"prompt": True, "loop": True}, {"prompt": True, "loop": True}),
        (
            {"start": "vary", "loop": True, "context_columns": 1},
            {"loop": True, "context_columns": 1},
        ),
        (
            {"temperature_by_level": " 1.5 ,0.5", "top_p_by_level": "0.9,0", "top_k_by_level": "3"},
            {"temperature": (1.5, 0.5), "top_p": (0.9, 0), "top_k": 3},
        ),
        ({"temperature_end": "0.2"}, {"temperature_end": 0.2}),
        (
            {"temperature_by_level": "1.5, 1", "temperature_end": "0.5, 1.0"},
            {"temperature": (1.5, 1.0), "temperature_end": (0.5, 1.0)},
        ),
        (
            {"sampler": "independent", "join": "crossfade", "overlap": 30},
            {"sampler": "independent", "join": "crossfade", "overlap": 30},
        ),
        ({"width": 0.5}, {"width": 0.5}),
    ],
    ids=str,
)
def test_the_controls_mean_the_fields_of_a_configuration(
    client, context, model, recording, values, config
):
    """What is heard is what Python gives, the sidecar says so, and the controls get it back."""
    if "prompt" in config:
        values, config = values | {"prompt": recording}, config | {"prompt": str(recording)}
    plain = {"temperature": 0.8, "top_k": 5, "duration": 2.0, "seed": 70, "quality": "fast"}
    expected = generate(model, GenerationConfig(**plain | config))
    played, words, *_ = make(client, **values | {"seed": "70"})
    heard, _ = soundfile.read(played)
    sound = expected.channels / max(1, np.abs(expected.channels).max())
    assert heard.shape == sound.shape
    assert np.abs(heard - sound).max() < 2 / 32768
    assert ("`Two_strokes.wav`" in words or "`Two strokes.wav`" in words) == ("prompt" in config)

    _, text = export(client)
    sidecar = Path(text.removeprefix("Saved as `").removesuffix("`") + ".json")
    said = json.loads(sidecar.read_text())["config"]
    named = said.pop("prompt")
    assert (Path(named).read_bytes() if named else None) == (
        recording.read_bytes() if "prompt" in config else None
    )
    wanted = json.loads(json.dumps(asdict(expected.config)))
    assert said == {name: value for name, value in wanted.items() if name != "prompt"}

    maker, session = TakeMaker(ModelList(context)), Session()
    if "prompt" in config:
        values = values | {"prompt": str(recording)}
    maker.make_takes("small.distill", page(**values | {"seed": "70"}), 1, session, None, silently)
    key, *again = page_values(1, session, maker.models)
    maker.make_takes(key, again, 1, session, None, silently)
    assert session.takes[2].result.config == session.takes[1].result.config == expected.config
    assert session.takes[2].result.codes.equal(expected.codes)


@pytest.fixture
def steered(tmp_path):
    """The models of a folder with a model that can be steered."""
    names = {"recordings": ["bell.wav", "rain.wav", "sea.wav", "wind.wav"]}
    add_timeline(write_model(tmp_path / "steered.distill"), timeline_metadata=names)
    return ModelList(TabContext((tmp_path,), tmp_path / "takes", device="cpu"))


def test_a_take_is_steered_and_its_settings_come_back(steered):
    maker, session = TakeMaker(steered), Session()
    values = page(
        steer=["bright", "noisy"], bright=0.9, noisy=0, loud=0.1, courses="dense 0.2:1,",
        like="rain.wav", wander=0.5, seed="3",
    )  # fmt: skip
    maker.make_takes("steered.distill", values, 1, session, None, silently)
    config = session.takes[1].result.config
    assert (config.loud, config.bright, config.noisy, config.dense) == (None, 0.9, 0, (0.2, 1))
    assert (config.like, config.wander) == ("rain.wav", 0.5)
    command = session.takes[1].command()
    assert "--wander 0.5 --like rain.wav --bright 0.9 --noisy 0 --dense 0.2:1" in command
    assert "like `rain.wav`, bright 0.9, noisy 0, dense 0.2:1" in describe(session.takes[1])
    key, *again = page_values(1, session, steered)
    maker.make_takes(key, again, 1, session, None, silently)
    assert session.takes[2].result.config == config
    assert session.takes[2].result.codes.equal(session.takes[1].result.codes)


def test_the_page_says_whether_a_model_can_be_steered(steered, context):
    like, note = steered.describe_steering("sea.wav", "steered.distill", Session())
    names = ["", "bell.wav", "rain.wav", "sea.wav", "wind.wav"]
    assert [value for _, value in like.choices] == names
    assert (like.value, note.visible) == ("sea.wav", False)
    like, note = ModelList(context).describe_steering("sea.wav", "small.distill", Session())
    assert (like.value, note.visible) == ("", True)
    assert "no timeline prior" in note.value


def test_a_take_is_exported_as_loud_as_was_asked_for(client, folder):
    make(client, seed="32")
    export(client, loudness=" -32 ")
    audio, rate = soundfile.read(folder / "takes" / "small-32.wav", dtype="float32")
    assert measure_loudness(audio, rate) == pytest.approx(-32, abs=0.1)


@pytest.mark.parametrize("form", ["ogg", "mp3"])
def test_what_a_format_does_to_loops_is_said(client, form):
    make(client, loop=True, seed="33")
    _, message = export(client, form=form, depth=0)
    assert message.endswith(f"{LOOP_NOTES[form]}.")
    assert "loop" not in export(client, form="flac")[1]
    make(client, seed="33")
    assert "loop" not in export(client, number=2, form=form, depth=0)[1]


def test_a_varied_take_is_as_long_as_its_prompt(client, model, tmp_path):
    short = tmp_path / "short.wav"
    soundfile.write(short, 0.3 * np.sin(np.arange(2_000)), 8_000)
    played, words, *_ = make(client, prompt=short, start="vary", duration=20)
    assert soundfile.info(played).frames == 2_000
    assert "0.25 s of sound" in words
    assert "30% of `short.wav` new" in words


def test_a_longer_take_keeps_what_it_starts_from(context, recording):
    maker, session = TakeMaker(ModelList(context)), Session()
    values = page(prompt=str(recording), start="recording", temperature_end="0.5")
    maker.make_takes("small.distill", values, 1, session, None, silently)
    key, *longer = page_values(1, session, maker.models, longer=True)
    maker.make_takes(key, longer, 1, session, None, silently)
    short, long = (take.result for take in session.takes.values())
    assert long.config == replace(short.config, duration=4)
    assert len(long.audio) == 32_000
    itself = slice(len(short.prompt.samples) // 2)
    beginnings = [take.audio[itself] / take.gain for take in (short, long)]
    assert np.abs(beginnings[0] - beginnings[1]).max() < 1e-3


def test_settings_do_without_a_sound_that_is_gone(context, recording, tmp_path):
    maker, session = TakeMaker(ModelList(context)), Session()
    prompt = shutil.copy(recording, tmp_path)
    maker.make_takes("small.distill", page(prompt=prompt), 1, session, None, silently)
    Path(prompt).unlink()
    with pytest.warns(UserWarning, match=r"Two strokes\.wav is no longer there"):
        key, *values = page_values(1, session, maker.models)
    assert values == page(sampler="continue")
    with pytest.raises(gr.Error, match=r"^'Two strokes\.wav is no longer there; choose the sound"):
        maker.make_takes(key, page(prompt=prompt), 1, session, None, silently)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature_by_level": "hot"}, "Temperature by level must be empty or numbers with"),
        ({"top_p_by_level": "0.9,,0.8"}, "Top-p by level must be empty or numbers with commas"),
        ({"top_k_by_level": "5; 10"}, "Top-k by level must be empty or numbers with commas"),
        ({"temperature_end": "cold"}, "Temperature at the end must be empty or numbers with"),
        ({"top_k_by_level": "1, 2, 3"}, "top_k has 3 values, but the model has 2 levels"),
        ({"prompt": True, "loop": True, "start": "vary"}, "Loop does not go with 'Vary it'"),
        (
            {"prompt": True, "loop": True, "start": "recording"},
            "Loop does not go with 'Continue the recording itself'; switch Loop off",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_the_words_of_the_page(client, recording, values, message):
    if "prompt" in values:
        values = values | {"prompt": recording}
    with pytest.raises(AppError, match=message):
        make(client, **values)


def test_a_sound_that_cannot_be_used_is_named_without_its_folder(client, tmp_path):
    (tmp_path / "notes.wav").write_text("la la la")
    with pytest.raises(AppError, match=r"^notes\.wav cannot be read"):
        make(client, prompt=tmp_path / "notes.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(AppError, match=r"^empty\.wav is empty"):
        make(client, prompt=tmp_path / "empty.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 8000)
    for start in ("continue", "recording", "vary"):
        with pytest.raises(AppError, match=r"^silent\.wav is silent; choose a recording"):
            make(client, prompt=tmp_path / "silent.wav", start=start, duration=1)


def test_a_sound_must_have_been_uploaded(client, url, recording):
    """Else whoever reaches the page could hear any recording of the machine."""
    file = {"path": str(recording), "meta": {"_type": "gradio.FileData"}}
    values = json.dumps({"data": list((VALUES | {"prompt": file}).values())})
    call = f"{url}gradio_api/call/generate_prior_take"
    posted = httpx.post(call, content=values, headers={"Content-Type": "application/json"})
    answer = httpx.get(f"{call}/{posted.json()['event_id']}", timeout=60).text
    assert "event: error" in answer
    assert "event: complete" not in answer


def test_an_exported_take_lies_in_the_output_folder_with_its_sidecar(client, folder):
    make(client)
    download, text = export(client, tags=("Rain", "Me", "Found sounds"))
    files = [Path(file) for file in download["value"]]
    saved = folder / "takes" / "small-7.wav"
    assert str(saved) in text
    assert files[0].read_bytes() == saved.read_bytes()
    assert files[1].read_bytes() == Path(f"{saved}.json").read_bytes()
    assert json.loads(Path(f"{saved}.json").read_text())["config"]["top_k"] == 5
    with soundfile.SoundFile(saved) as file:
        assert (file.title, file.artist, file.album) == ("Rain", "Me", "Found sounds")
        assert file.subtype == "PCM_24"

    before = saved.read_bytes()
    export(client)
    assert (folder / "takes" / "small-7-2.wav").exists()
    assert saved.read_bytes() == before

    export(client, form="flac", rate=44_100, depth=16)
    info = soundfile.info(next((folder / "takes").glob("small-7*.flac")))
    assert (info.samplerate, info.subtype, info.frames) == (44_100, "PCM_16", 88_200)


@pytest.mark.parametrize(
    "values",
    [
        {"duration": 1e9},
        {"duration": None},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_k": "many"},
        {"temperature": 0},
        {"top_p": [0.9]},
        {"seed": "pi"},
        {"seed": "-1"},
        {"seed": "9" * 5000},
        {"overlap": 1e300},
        {"join": "glue"},
        {"sampler": "theremin"},
        {"vocoder": "os.system"},
        {"quality": None},
        {"loop": None},
        {"loop": "yes"},
        {"prompt": "/etc/passwd"},
        {"prompt": 7},
        {"start": "os.system"},
        {"start": ["vary"]},
        {"vary": 1.01},
        {"vary": "much"},
        {"context_columns": 0},
        {"context_columns": 17},
        {"context_columns": 1.5},
        {"temperature_by_level": "1, 0"},
        {"temperature_by_level": "1, 1, 1"},
        {"temperature_by_level": "1e999, 1"},
        {"temperature_by_level": "9" * 5000},
        {"temperature_by_level": [1, 1]},
        {"top_p_by_level": "0.9, nan"},
        {"top_k_by_level": "1.5, 2"},
        {"top_k_by_level": "-1, 2"},
        {"temperature_end": "-inf"},
        {"steer": "bright"},
        {"steer": ["os.system"]},
        {"steer": [["bright"]]},
        {"steer": ["loud"], "loud": 1.5},
        {"steer": ["loud"], "loud": "much"},
        {"courses": "bright"},
        {"courses": "bright 0:1:0"},
        {"courses": "os.system 0:1"},
        {"courses": 7},
        {"like": 7},
        {"like": "no recording"},
        {"count": 9},
        {"count": 0},
        {"model": None},
        {"model": "models/small.distill"},
        {"model": "../elsewhere.distill"},
        {"model": "no_prior.distill"},
        {"model": "broken.distill"},
        {"model": "/etc/passwd"},
        {"model": ["small.distill"]},
    ],
    ids=lambda values: str(values)[:60],
)
def test_hostile_values_are_refused_and_the_server_goes_on(client, recording, values):
    if {"start", "vary"} & set(values):
        values = {"prompt": recording, "start": "vary"} | values
    field = list(values)[-1].removesuffix("_by_level").replace("_", "[_ -]")
    with pytest.raises(AppError, match=f"(?i){field}"):
        make(client, **values)
    played, *_ = make(client, duration=1)
    assert soundfile.info(played).frames == 8_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-0.0"])
@pytest.mark.parametrize(
    "field",
    ["temperature", "top_p", "top_k", "duration", "overlap", "min_p", "context_columns", "count"],
)
def test_numbers_that_are_none_are_refused(url, field, number):
    """Which JSON does not know, but Python's parser takes."""
    values = json.dumps({"data": list((VALUES | {field: "here"}).values())})
    call = f"{url}gradio_api/call/generate_prior_take"
    data = values.replace('"here"', number)
    posted = httpx.post(call, content=data, headers={"Content-Type": "application/json"})
    if (field, number) in {
        ("top_p", "-0.0"),
        ("top_k", "-0.0"),
        ("overlap", "-0.0"),
        ("min_p", "-0.0"),
    }:
        assert posted.status_code == 200  # nought after all
    elif posted.status_code == 200:
        assert "event: error" in httpx.get(f"{call}/{posted.json()['event_id']}", timeout=60).text


@pytest.mark.parametrize(
    "values",
    [
        {"number": 2},
        {"number": "1"},
        {"number": [1]},
        {"form": ["wav"]},
        {"rate": []},
        {"depth": {}},
        {"tags": (["Rain"], "", "")},
        {"tags": ("", 7, "")},
        {"tags": ("", "", {"album": "Rain"})},
        {"form": "../../etc"},
        {"form": "exe"},
        {"rate": 10**9},
        {"depth": 64},
        {"form": "flac", "depth": 32},
        {"loudness": 3},
        {"loudness": "loud"},
        {"loudness": [-16]},
    ],
    ids=str,
)
def test_hostile_exports_write_nothing(client, folder, values):
    make(client, duration=1)
    before = sorted(folder.rglob("*"))
    named = {"number": "take", "rate": "sample_rate", "depth": "bit_depth", "tags": "must be text"}
    field = list(values)[-1]
    with pytest.raises(AppError, match=named.get(field, field)):
        export(client, **values)
    assert sorted(folder.rglob("*")) == before


def test_tags_from_the_page_cannot_name_a_path(client, folder):
    make(client, duration=1, seed="99")
    export(client, tags=("../../x", "a" * 100_000, "\x00"))
    assert (folder / "takes" / "small-99.wav").exists()


def test_an_upload_can_be_played_by_its_session_alone(client, url, folder):
    upload = handle_file(folder / "elsewhere.distill")
    client.predict(upload, api_name="/upload_prior_model")
    make(client, model="elsewhere.distill (uploaded)", duration=1)
    with pytest.raises(AppError):
        make(Client(url, verbose=False), model="elsewhere.distill (uploaded)", duration=1)


def test_uploads_that_are_no_models_are_refused(client, folder, tmp_path):
    text = tmp_path / "song.distill"
    text.write_text("la la la")
    with pytest.raises(AppError, match=r"song\.distill is not a \.distill model"):
        client.predict(handle_file(text), api_name="/upload_prior_model")
    named = shutil.copy(folder / "elsewhere.distill", tmp_path / "model.wav")
    with pytest.raises(AppError):
        client.predict(handle_file(named), api_name="/upload_prior_model")
    no_prior = folder / "models" / "no_prior.distill"
    with pytest.raises(AppError, match="no prior"):
        client.predict(handle_file(no_prior), api_name="/upload_prior_model")
    with pytest.raises((AppError, ValueError)):
        client.predict({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
                       api_name="/upload_prior_model")  # fmt: skip


@pytest.mark.parametrize("file", [None, 7, "x", [], ["x"], {}, {"path": None}], ids=str)
def test_an_upload_that_is_no_file_is_refused_in_words(client, file):
    with pytest.raises(AppError, match="file "):
        client.predict(file, api_name="/upload_prior_model")


def test_tags_may_be_left_out(client, folder):
    make(client, duration=1, seed="98")
    export(client, tags=(None, None, None))
    assert (folder / "takes" / "small-98.wav").exists()


def test_an_upload_that_is_too_large_is_refused(url, client):
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": b"0" * 2**25}, timeout=60)
    assert answer.status_code == 413
    make(client, duration=1)


def test_takes_that_were_finished_stay_when_the_rest_is_cancelled(context):
    maker, session = TakeMaker(ModelList(context)), Session()

    def progress(share, desc):
        if session.takes:
            maker.stop("me")

    values = page(duration=30)
    maker.make_takes("small.distill", values, 8, session, "me", progress)
    assert 1 <= len(session.takes) < 8
    made = len(session.takes)
    maker.make_takes("small.distill", values, 1, session, "me", silently)
    assert list(session.takes) == list(range(1, made + 2))


@pytest.mark.parametrize("error", [FloatingPointError, RuntimeError, MemoryError])
def test_a_failure_half_way_leaves_no_take(context, error):
    maker, session = TakeMaker(ModelList(context)), Session()
    values = page(duration=30)

    def progress(share, desc):
        if share > 0:
            raise error("the prior gave up")

    with pytest.raises(gr.Error, match="the prior gave up"):
        maker.make_takes("small.distill", values, 1, session, "me", progress)
    assert session.takes == {}


def test_a_take_that_is_removed_can_be_brought_back(context):
    maker, session = TakeMaker(ModelList(context)), Session()
    maker.make_takes("small.distill", page(duration=1), 3, session, "me", silently)
    made = dict(session.takes)
    remove_take(2, session)
    remove_take(1, session)
    assert list(session.takes) == [3]
    undo_remove(session)
    undo_remove(session)
    undo_remove(session)  # nothing is left to bring back
    assert list(session.takes.items()) == list(made.items())


def test_takes_removed_count_among_those_that_are_kept(context):
    maker, session = TakeMaker(ModelList(context)), Session()
    maker.make_takes("small.distill", page(duration=1), 8, session, "me", silently)
    for number in range(1, 9):
        remove_take(number, session)
    for _ in range(2):
        maker.make_takes("small.distill", page(duration=1), 8, session, "me", silently)
    assert [take.number for take in session.removed] == [5, 6, 7, 8]


def test_names_tell_takes_apart(context, recording):
    maker, session = TakeMaker(ModelList(context)), Session()
    maker.make_takes("small.distill", page(duration=1), 2, session, "me", silently)
    assert list(label_takes(session.takes.values()).values()) == ["1: seed 7", "2: seed 8"]
    other = {"prompt": str(recording), "temperature": 0.5, "loop": True}
    maker.make_takes("small.distill", page(**other), 1, session, "me", silently)
    assert list(label_takes(session.takes.values()).values()) == [
        "1: seed 7, 1 s, temperature 0.8",
        "2: seed 8, 1 s, temperature 0.8",
        "3: seed 7, 2 s, temperature 0.5, continues Two strokes.wav, loop",
    ]


@pytest.mark.parametrize("gone", ["model", "prompt"])
def test_no_longer_take_is_made_without_what_the_first_was_made_from(tmp_path, recording, gone):
    model = write_model(tmp_path / "mine.distill")
    prompt = Path(shutil.copy(recording, tmp_path))
    context = TabContext((tmp_path,), tmp_path, device="cpu")
    maker, session = TakeMaker(ModelList(context)), Session()
    maker.make_takes("mine.distill", page(prompt=str(prompt)), 1, session, "me", silently)
    {"model": model, "prompt": prompt}[gone].unlink()
    with pytest.raises(gr.Error, match=r"A longer take cannot be made: .* no longer"):
        page_values(1, session, maker.models, longer=True)


def test_the_model_that_the_app_loads_is_chosen(folder):
    loaded = [None]
    models_dir = folder / "models"
    context = TabContext((models_dir,), folder, selected=lambda: loaded[0], device="cpu")
    models, session = ModelList(context), Session()
    assert models.model_choices("demo", session)["value"] == "demo"
    loaded[0] = models_dir / "small.distill"
    assert models.model_choices("demo", session)["value"] == "small.distill"
    # Another choice stays until the app loads another model.
    assert models.model_choices("demo", session)["value"] == "demo"
    loaded[0] = models_dir / "no_prior.distill"
    assert models.model_choices("demo", session)["value"] == "no_prior.distill"


def test_a_session_keeps_so_many_takes(context):
    maker, session = TakeMaker(ModelList(context)), Session()
    values = page(duration=1)
    for _ in range(3):
        maker.make_takes("small.distill", values, 8, session, "me", silently)
    assert list(session.takes) == list(range(24 - MAX_SESSION_TAKES + 1, 25))
    assert [take.result.seed for take in session.takes.values()][-1] == 14


def test_models_are_listed_newest_first_and_the_unplayable_last_with_the_reason(folder):
    newer = write_model(folder / "models" / "newer.distill")
    os.utime(newer, (2e9, 2e9))
    try:
        models = find_models([folder / "models", folder / "nowhere", folder])
    finally:
        newer.unlink()
    assert next(iter(models)) == "newer.distill"
    assert models["newer.distill"].label == "small, noise, perplexity 4.5"
    assert [entry.reason is None for entry in models.values()] == [True] * 3 + [False] * 2 + [True]
    assert list(models)[-1] == "demo"
    assert "distill train-prior" in models["no_prior.distill"].reason
    assert "not a .distill model" in models["broken.distill"].reason
    assert str(folder) not in models["broken.distill"].reason


def test_models_of_the_same_name_in_two_folders_are_both_listed(tmp_path, model_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(model_path, tmp_path / name / "same.distill")
    models = find_models([tmp_path / "one", tmp_path / "two"])
    assert sorted(models) == ["demo", "same.distill", "same.distill (2)"]
    assert len({entry.path for entry in models.values()}) == 3


def test_a_model_is_loaded_again_only_when_it_has_changed(tmp_path):
    path = write_model(tmp_path / "model.distill")
    first = load_cached_model(path, "cpu")
    assert load_cached_model(path, "cpu") is first
    write_model(tmp_path / "model.distill", seed=1)
    assert load_cached_model(path, "cpu") is not first


@pytest.mark.parametrize("value", ["hifigan-1.0", "/sounds/2.0", "1.0", 7, 0.25])
def test_names_that_end_like_numbers_are_written_whole(value):
    assert format_value(value) == str(value)


def test_a_command_line_names_every_setting_that_is_not_the_default(context, folder, recording):
    maker, session = TakeMaker(ModelList(context)), Session()
    path = shlex.quote(str(folder / "models" / "small.distill"))
    values = page(
        temperature=1.25, top_p=0.5, top_k=3, duration=12.5, seed="5", min_p=0.05, overlap=20,
        join="crossfade", sampler="independent", vocoder="torchaudio", quality="best", width=0.5,
    )  # fmt: skip
    maker.make_takes("small.distill", values, 1, session, None, silently)
    assert session.takes[1].command() == (
        f"distill-prior sample {path} -t 1.25 --top-p 0.5 --top-k 3 --min-p 0.05 -d 12.5 "
        "--sampler independent --overlap 20 --join crossfade --vocoder torchaudio --quality best "
        "--width 0.5 -s 5"
    )
    values = page(
        temperature_by_level="1.0, 0.5", temperature_end="0.8", top_p_by_level="0.9, 0",
        top_k_by_level="5, 10", context_columns=1, loop=True, prompt=str(recording),
    )  # fmt: skip
    maker.make_takes("small.distill", values, 1, session, None, silently)
    assert session.takes[2].command() == (
        f"distill-prior sample {path} --evolve 1,0.5:0.8 --top-p 0.9,0 --top-k 5,10 -d 2 "
        f"--sampler continue --context-columns 1 --prompt {shlex.quote(str(recording))} --loop "
        "--vocoder mel-griffin-lim --quality fast -s 7"
    )
    for start, option in (("recording", "--prompt-crossfade"), ("vary", "--vary 0.3")):
        values = page(prompt=str(recording), start=start)
        maker.make_takes("small.distill", values, 1, session, None, silently)
        assert option in list(session.takes.values())[-1].command()


def test_the_demo_needs_no_model_on_the_command_line(context):
    maker, session = TakeMaker(ModelList(context)), Session()
    values = page()
    maker.make_takes("demo", values, 1, session, None, silently)
    expected = (
        "distill-prior sample -t 0.8 --top-k 5 -d 2 --sampler timeline --vocoder mel-griffin-lim "
        "--quality fast -s 7"
    )
    assert session.takes[1].command() == expected


@pytest.fixture
def serve(tmp_path):
    """Runs ``distill-prior ui``; gives its address and what it said so far."""
    processes = []

    def start(*options, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "distill_prior_gen", "ui", "--no-open", *options],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
        )
        processes.append(process)
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://[^:]*:(\d+)", line):
                return f"http://127.0.0.1:{found[1]}", said
        raise AssertionError(said)

    yield start
    for process in processes:
        process.terminate()
        process.wait(20)


def test_the_command_serves_the_page_and_warns_of_an_open_host(serve, tmp_path):
    url, said = serve("--host", "0.0.0.0", "--models", ".")
    assert "Anyone who reaches 0.0.0.0 can use this page; it has no password." in said
    served = Client(url, verbose=False)
    assert "/generate_prior_take" in served.view_api(return_format="dict")["named_endpoints"]


def test_a_password_keeps_others_out(serve, tmp_path, model_path):
    shutil.copy(model_path, tmp_path / "small.distill")
    url, said = serve("--auth", "me:secret", "--host", "0.0.0.0", DISTILL_MODELS_DIR=str(tmp_path))
    assert "no password" not in said
    assert httpx.get(f"{url}/config", timeout=60).status_code == 401
    with pytest.raises(Exception, match="login"):
        Client(url, auth=("me", "guess"), verbose=False)
    played, *_ = make(Client(url, auth=("me", "secret"), verbose=False), duration=1)
    assert soundfile.info(played).frames == 8_000


@pytest.mark.parametrize("auth", ["me", "me:", ":secret"])
def test_a_user_needs_a_password(auth):
    command = [sys.executable, "-m", "distill_prior_gen", "ui", "--auth", auth]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "must be USER:PASSWORD" in result.stderr


def test_two_sessions_do_not_share_takes(url):
    first, second = Client(url, verbose=False), Client(url, verbose=False)
    make(first, duration=1)
    with pytest.raises(AppError):
        export(second)


def test_takes_of_one_click_have_seeds_in_a_row(context, folder):
    maker, session = TakeMaker(ModelList(context)), Session()
    values = page()
    maker.make_takes("small.distill", values, 3, session, None, silently)
    assert [take.result.seed for take in session.takes.values()] == [7, 8, 9]
    model = load_model(folder / "models" / "small.distill", "cpu")
    alone = generate(model, session.takes[2].result.config)
    assert alone.codes.equal(session.takes[2].result.codes)


def test_takes_of_one_click_share_its_time(context):
    maker, session = TakeMaker(ModelList(context)), Session()
    maker.make_takes("small.distill", page(duration=5), 8, session, None, silently)
    sampling = {take.result.timings["sample"] for take in session.takes.values()}
    assert len(sampling) == 1
    for take in session.takes.values():
        assert f" in {sum(take.result.timings.values()):.1f} s (" in describe(take)
