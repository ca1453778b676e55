"""The Train tab in a real browser: from uploaded sounds to a take of the model."""

import re
import subprocess

import pytest
import soundfile
from playwright.sync_api import expect

from tests.training.test_training import sound
from tests.ui import test_browser
from tests.ui.test_browser import (
    ALONE,
    CHROMIUM,
    serve,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.posix,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

browser, folder, new_page = test_browser.browser, test_browser.folder, test_browser.new_page

TRAINING_MS = 300_000


@pytest.fixture
def sounds(tmp_path):
    paths = [tmp_path / f"{index}.wav" for index in range(6)]
    for index, path in enumerate(paths):
        soundfile.write(path, sound(index, 0.8), 8000)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, 0 * sound(0, 1.0), 8000)
    return [*paths, silent]


@pytest.fixture
def url(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    process, url = serve([*ALONE, "models"], folder)
    yield url
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def choose_sounds(page, sounds):
    page.get_by_role("tab", name="Train").click()
    panel = page.locator("#distill-train")
    panel.locator("input[type=file]").first.set_input_files(sounds)
    expect(
        panel.get_by_role("checkbox", name=re.compile(r"^0\.wav, 0\.8 s, -\d+ dB"))
    ).to_be_checked()
    expect(
        panel.get_by_role("checkbox", name=re.compile(r"^silent\.wav.*is silent"))
    ).not_to_be_checked()
    return panel


def set_options(panel, epochs, prior_epochs):
    panel.get_by_role("button", name="Options").click()
    panel.get_by_label("Epochs", exact=True).fill(str(epochs))
    panel.get_by_label("Epochs of the prior, at most").fill(str(prior_epochs))
    for stage in ("Timeline prior", "Vocoder"):
        panel.get_by_label(stage, exact=True).uncheck()


def test_a_finished_model_is_chosen_only_where_it_was_trained(url, new_page, sounds):
    page, other = new_page(url), new_page(url)
    test_browser.choose_model(other, "steered")
    panel = choose_sounds(page, sounds)
    panel.get_by_role("checkbox", name=re.compile(r"^5\.wav")).uncheck()
    expect(panel.get_by_text("5 recordings, 4.0 seconds of sound.")).to_be_visible()
    panel.get_by_role("checkbox", name=re.compile(r"^4\.wav")).uncheck()
    expect(panel.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    panel.get_by_role("checkbox", name=re.compile(r"^4\.wav")).check()
    set_options(panel, 2, 1)
    panel.get_by_label("Name of the model").fill("quick")
    panel.get_by_role("button", name="Train", exact=True).click()
    expect(panel.get_by_text("quick is ready.")).to_be_visible(timeout=TRAINING_MS)
    expect(panel.get_by_role("cell", name="quick.md")).to_be_visible()
    page.get_by_role("tab", name="Prior").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^quick,"))
    other.get_by_role("tab", name="Train").click()
    expect(other.get_by_text("quick is ready.")).to_be_visible()
    other.get_by_role("tab", name="Prior").click()
    expect(other.get_by_label("Model", exact=True)).to_have_value(re.compile("^steered"))
