"""Servers, and pages of a browser. A test process starts each server once, when it is needed."""

import os
import re
import shutil
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.helpers.browser import ALONE, IN_THE_APP, PATIENCE_MS, end, enter, serve
from tests.helpers.core_app import APP, STATE
from tests.helpers.models import SMALL, add_timeline, write_model

LEFT = re.compile("AbortError: signal is aborted|Connection errored out")
"""What Gradio logs of requests that a page was waiting for when it was loaded again."""

OPEN_AND_CLOSE = """
from types import SimpleNamespace
from distill.ui.state import app_state, ModelLibrary

loaded = SimpleNamespace(metadata=SimpleNamespace(model_id='slow'))
ModelLibrary.catalog['slow'] = SimpleNamespace(file_path='slow.distill')

def load():
    app_state.loaded_vq_model = loaded
    return 'Opened'

def unload():
    app_state.loaded_vq_model = None
    return 'Closed'
"""
"""What the buttons "Open" and "Close" of the stand-in app do."""


def write_models(folder, model_path):
    """A model of each kind; the newest, which a page chooses first, is the small one."""
    slow: dict[str, Any] = {"name": "slow", "hidden_size": 256, "num_layers": 8}
    os.utime(write_model(folder / "slow.distill", **slow), (1, 1))
    write_model(folder / "no_prior.distill", name="mute", with_prior=False)
    (folder / "broken.distill").write_text("not a model")
    names = {"recordings": ["bell.wav", "rain.wav", "sea.wav", "wind.wav"]}
    steered = write_model(folder / "steered.distill", name="steered")
    os.utime(add_timeline(steered, timeline_metadata=names), (2, 2))
    rows = write_model(folder / "rows.distill", name="rows", spectrogram=replace(SMALL, n_mels=64))
    os.utime(add_timeline(rows), (3, 3))
    shutil.copy(model_path, folder / "small.distill")


def write_app(folder):
    """A stand-in for the Distill app."""
    (folder / "ui").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "ui" / "__init__.py").touch()
    (folder / "ui" / "state.py").write_text(STATE)
    buttons = (
        'button = gr.Button("Open"); button.click(load, outputs=button); '
        'button = gr.Button("Close"); button.click(unload, outputs=button)'
    )
    page = APP.replace('gr.Button("Open").click(print)', buttons)
    second = " " * 20 + "second()\n"
    own = " " * 16 + 'with gr.Tab("Train", id="train"): gr.Button("Start")\n'  # as in the app
    page = page.replace(second, second + own)
    (folder / "ui" / "app.py").write_text(OPEN_AND_CLOSE + page)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, model_path):
    """The folder of the servers that do not save takes."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "models").mkdir()
    write_models(folder / "models", model_path)
    write_app(folder / "distill")
    return folder


@pytest.fixture(scope="session")
def copy_folder(folder, tmp_path_factory):
    """Makes folders with the same models and the same app, for servers that write files."""

    def copy():
        copied = tmp_path_factory.mktemp("copy")
        for part in ("models", "distill"):
            shutil.copytree(folder / part, copied / part)
        return copied

    return copy


@pytest.fixture(scope="session")
def alone(folder):
    """The stand-alone app, which does not save takes, and has presets in "presets"."""
    (folder / "presets").mkdir()
    presets = {"DISTILL_PRIOR_PRESETS": str(folder / "presets")}
    process, url = serve([*ALONE, "--no-autosave"], folder, autosave="yes", **presets)
    yield url
    end(process)


@pytest.fixture(scope="session")
def in_the_app(folder):
    """The stand-in for the Distill app, which does not save takes."""
    process, url = serve(IN_THE_APP, folder)
    yield url
    end(process)


@pytest.fixture(params=["alone", "in the app"])
def both(request):
    return request.getfixturevalue(request.param.replace(" ", "_"))


@pytest.fixture(scope="session")
def saving_folder(copy_folder):
    """The folder of `saving`."""
    return copy_folder()


@pytest.fixture(scope="session")
def saving(saving_folder):
    """The stand-alone app, which saves takes. Tests find those of other tests in the list."""
    process, url = serve(ALONE, saving_folder, autosave="yes")
    yield url
    end(process)


@pytest.fixture
def new_page(browser):
    """Opens pages in contexts of their own; none may have logged an error in the end."""
    contexts, errors = [], []

    def note(line):
        # Gradio 5 asks other hosts for fonts and scripts, which may be out of reach.
        elsewhere = "https://" in line.location["url"] + line.text
        if line.type == "error" and not elsewhere:
            errors.append(line.text)

    def open_page(url, width=1280, theme="light", touch=False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            has_touch=touch,
            permissions=["clipboard-read", "clipboard-write"],
        )
        # Gradio 5 asks how far an upload is that was over long ago, and logs that there is none.
        done = {"body": 'data: {"msg": "done"}\n\n', "content_type": "text/event-stream"}
        context.route("**/upload_progress?upload_id=undefined", lambda it: it.fulfill(**done))
        contexts.append(context)
        page = context.new_page()
        # A page notes the first 250 files that it fetches; `audio` looks for the last sound.
        page.add_init_script("performance.setResourceTimingBufferSize(100_000)")
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", note)
        page.goto(f"{url}/?__theme={theme}")
        enter(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [error for error in errors if not LEFT.search(error)] == []
