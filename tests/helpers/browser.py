"""What the tests in a browser share: servers, and what a user does on the Prior tab."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
import soundfile
from playwright.sync_api import expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 180_000
PLAYER_READY = "() => document.querySelector('#distill-prior-player audio')?.readyState > 0"

ALONE = [
    *("-m", "distill_prior_gen", "ui", "--no-open", "--output", "generated"),
    *("--models", "models"),
]
IN_THE_APP = ["-c", "import torch; from distill.ui.app import launch_ui; launch_ui().launch()"]

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def open_browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def serve(command, folder, autosave="no", **variables):
    """Start a server in `folder`; its process and its address."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": path,
        "DISTILL_PRIOR_UI_AUTOSAVE": autosave,
        **variables,
    }
    log = folder / f"log-{time.monotonic_ns()}"  # a pipe that nobody reads would fill up
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    while not (found := re.search(r"(http://\S*:\d+)\s", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    return process, found[1].replace("0.0.0.0", "127.0.0.1")


def end(process):
    """End a server as a user does."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def enter(page):
    """Open the tab of a page that is loading, and wait until it has its settings and its takes."""
    page.get_by_role("tab", name="Prior").click()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


def reload(page):
    """Load a page again, whose player would log that it was interrupted."""
    page.wait_for_function(PLAYER_READY)
    page.reload()
    enter(page)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def radio(page, number):
    """The take of a number in the list."""
    return page.get_by_role("radio", name=re.compile(f"^{number}: "))


def choose_model(page, label):
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name=label).click()


def open_advanced(page):
    page.get_by_role("button", name="Advanced").click()


def set_number(page, label, value):
    box = page.get_by_label(f"number input for {label}")
    box.fill(str(value))
    box.press("Tab")


def generate(page):
    page.get_by_role("button", name="Generate").click()


def make_many_slowly(page):
    """Eight takes of half a minute each."""
    choose_model(page, "slow")
    set_number(page, "Duration (seconds)", 30)
    open_advanced(page)
    set_number(page, "Takes per click", 8)
    page.get_by_label("best").check()
    generate(page)


def wait_for_take(page, number):
    expect(radio(page, number)).to_be_checked()
    expect(page.locator(".progress-text")).to_have_count(0)


def audio(page):
    """What the player plays, decoded."""
    fetched = "performance.getEntriesByType('resource').map(entry => entry.name)"
    played = f"() => {fetched}.filter(name => name.endsWith('audio.wav')).at(-1)"
    source = page.wait_for_function(played).json_value()
    sound, rate = soundfile.read(io.BytesIO(httpx.get(source).content))
    return sound, rate


def expect_samples(page, samples):
    """The sound of the player and its rate, once it has so many samples.

    The player fetches a take somewhat later than the page shows it.
    """
    end = time.monotonic() + PATIENCE_MS / 1000
    while len((played := audio(page))[0]) != samples and time.monotonic() < end:
        page.wait_for_timeout(100)
    assert len(played[0]) == samples
    return played


def download(page, count=2):
    """Press "Download"; the names of the files that come."""
    names = []
    page.on("download", lambda file: names.append(file.suggested_filename))
    page.get_by_role("button", name="Download").click()
    end = time.monotonic() + PATIENCE_MS / 1000
    while len(names) < count and time.monotonic() < end:
        page.wait_for_timeout(100)
    return set(names)
