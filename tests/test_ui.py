"""The Prior tab, through the endpoints of an app that is really served."""

import json
import os
import re
import shutil
import subprocess
import sys
import wave

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from distill_prior_gen.plugins import TabContext
from distill_prior_gen.ui.app import create_app
from distill_prior_gen.ui.library import loaded_model, playable_models

from .models import write_model

SETTINGS = {"temperature": 0.8, "top_p": 0.9, "top_k": 5, "duration": 2, "seed": "7"}


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
def client(folder):
    context = TabContext((folder / "models",), folder / "takes", device="cpu")
    app = create_app(context)
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield Client(url, verbose=False)
    app.close()


def make(client, path, **settings):
    return client.predict(
        *{"path": str(path), **SETTINGS, **settings}.values(), api_name="/generate_prior_take"
    )


def test_a_take_is_played_and_saved_with_its_sidecar(client, folder):
    played, report = make(client, folder / "models" / "small.distill")
    with wave.open(played) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 16_000)
    assert "Seed **7**" in report
    saved = folder / "takes" / "small-7.wav"
    assert str(saved) in report
    assert saved.exists()
    sidecar = json.loads(saved.with_suffix(".json").read_text())
    assert sidecar["config"]["temperature"] == 0.8
    assert sidecar["config"]["top_k"] == 5

    make(client, folder / "models" / "small.distill")
    assert (folder / "takes" / "small-7-2.wav").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration": 10**9}, "duration must be from 1.0 to 30.0|greater than maximum value 30"),
        ({"top_k": -1}, "top_k must be from 0 to 512|less than minimum value 0"),
        ({"temperature": 0}, "temperature must be from 0.1 to 2.0|less than minimum value 0.1"),
        ({"seed": "pi"}, "seed must be a whole number or empty, not 'pi'"),
        ({"seed": "-1"}, "seed must be"),
    ],
)
def test_settings_are_checked_on_the_server(client, folder, settings, message):
    before = sorted((folder / "takes").iterdir()) if (folder / "takes").exists() else []
    with pytest.raises(AppError, match=message):
        make(client, folder / "models" / "small.distill", **settings)
    after = sorted((folder / "takes").iterdir()) if (folder / "takes").exists() else []
    assert after == before


@pytest.mark.parametrize(
    "name",
    [
        "elsewhere.distill",
        "models/../elsewhere.distill",
        "models/no_prior.distill",
        "models/broken.distill",
    ],
)
def test_only_models_of_the_list_can_be_loaded(client, folder, name):
    with pytest.raises(AppError, match="list"):
        make(client, f"{folder}/{name}")


def test_models_are_listed_newest_first_with_dataset_and_perplexity(folder):
    newer = write_model(folder / "models" / "newer.distill")
    os.utime(newer, (2e9, 2e9))
    try:
        models = playable_models([folder / "models", folder / "nowhere"])
    finally:
        newer.unlink()
    assert list(models) == [str(newer), str(folder / "models" / "small.distill")]
    assert models[str(newer)] == "small, noise, perplexity 4.5"


def test_a_model_is_loaded_again_only_when_it_has_changed(tmp_path):
    path = str(write_model(tmp_path / "model.distill"))
    first = loaded_model(path, "cpu")
    assert loaded_model(path, "cpu") is first
    write_model(tmp_path / "model.distill", seed=1)
    assert loaded_model(path, "cpu") is not first


def test_without_models_the_page_says_where_they_are_looked_for(tmp_path):
    """As the page asks for it when it is loaded."""
    app = create_app(TabContext((tmp_path / "none",), tmp_path))
    (load,) = [fn for fn in app.fns.values() if fn.name == "find_models"]
    dropdown, message = load.fn()
    assert dropdown.value is None
    assert str(tmp_path / "none") in message
    assert "distill train-prior" in message


def test_the_command_serves_the_page_and_warns_of_an_open_host(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distill_prior_gen",
            "ui",
            "--no-open",
            "--host",
            "0.0.0.0",
            "--models",
            ".",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    seen = ""
    try:
        for line in process.stdout:
            seen += line
            if found := re.search(r"http://0\.0\.0\.0:(\d+)", line):
                break
        assert found, seen
        assert "Anyone who reaches 0.0.0.0 can use this page" in seen
        served = Client(f"http://127.0.0.1:{found[1]}", verbose=False)
        assert "/generate_prior_take" in served.view_api(return_format="dict")["named_endpoints"]
    finally:
        process.terminate()
        process.wait(20)
