"""The tab Train model in a real browser: from uploaded sounds to a take of the model."""

import io
import re
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.helpers.browser import (
    ALONE,
    IN_THE_APP,
    NEEDS_BROWSER,
    choose_model,
    end,
    expect_samples,
    generate,
    serve,
    set_number,
    wait_for_take,
)
from tests.training.test_training import sound
from tests.ui.test_training_jobs import wait

pytestmark = [pytest.mark.slow, pytest.mark.longest, pytest.mark.posix, *NEEDS_BROWSER]

TRAINING_MS = 300_000


@pytest.fixture
def sounds(tmp_path):
    paths = [tmp_path / f"{index}.wav" for index in range(6)]
    for index, path in enumerate(paths):
        soundfile.write(path, sound(index, 0.8), 8000)
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, 0 * sound(0, 1.0), 8000)
    return [*paths, silent]


@contextmanager
def server(place, command):
    process, url = serve(command, place, OMP_NUM_THREADS="1")
    try:
        yield url
    finally:
        end(process)


@pytest.fixture(scope="module")
def url(copy_folder):
    """An app whose models are not seen by other tests."""
    with server(copy_folder(), ALONE) as url:
        yield url


def choose_sounds(page, sounds):
    page.get_by_role("tab", name="Train model").click()
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


def train(panel, name):
    panel.get_by_label("Name of the model").fill(name)
    panel.get_by_role("button", name="Train", exact=True).click()
    expect(panel.get_by_text(f"{name} is being trained")).to_be_visible()


def expect_previews(panel):
    """The same seconds of a recording appear as they are and as the model hears them."""
    for label in ("A recording", "The same, as the model hears it"):
        expect(panel.get_by_text(label, exact=True)).to_be_visible(timeout=TRAINING_MS)
    links = panel.locator("a[href$='/audio.wav']")
    for link in (links.nth(0), links.nth(1)):
        sound, rate = soundfile.read(io.BytesIO(httpx.get(link.get_attribute("href")).content))
        assert len(sound) / rate == pytest.approx(0.8, abs=0.05)
        assert np.abs(sound).max() > 0.01


def play(page, name):
    """Make a take of a model that was just trained."""
    page.get_by_role("tab", name="Prior").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile(f"^{name},"))
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)
    sound, rate = expect_samples(page, 48_000)
    assert rate == 48_000
    assert np.abs(sound).max() > 0.01


def test_a_training_is_heard_stopped_resumed_and_played(url, new_page, sounds):
    page = new_page(url)
    panel = choose_sounds(page, sounds)
    set_options(panel, 16, 1)
    train(panel, "bells")
    expect_previews(panel)
    page.close()

    page = new_page(url)  # the training goes on without a page
    page.get_by_role("tab", name="Train model").click()
    panel = page.locator("#distill-train")
    panel.get_by_role("button", name="Stop and keep the best").click()
    expect(panel.get_by_text("bells was stopped. What it has learned")).to_be_visible()
    panel.get_by_role("button", name="Resume").click()
    expect(panel.get_by_text("bells is ready.")).to_be_visible(timeout=TRAINING_MS)
    expect(panel.get_by_role("cell", name="distance of takes from the recordings")).to_be_visible()
    play(page, "bells")


def test_a_training_goes_on_after_the_app_was_ended(copy_folder, new_page, sounds):
    place = copy_folder()
    with server(place, IN_THE_APP) as url:
        page = new_page(url)
        panel = choose_sounds(page, sounds)
        set_options(panel, 8, 1)
        train(panel, "chimes")
        expect_previews(panel)
        page.close()
    wait(lambda: (place / "models" / "chimes.distill").exists())
    with server(place, IN_THE_APP) as url:
        page = new_page(url)
        page.get_by_role("tab", name="Train model").click()
        page.locator("#distill-train").get_by_role("button", name="Resume").click()
        expect(page.get_by_text("Choose the recordings first that the training of")).to_be_visible()
        panel = choose_sounds(page, sounds)
        panel.get_by_role("button", name="Resume").click()
        expect(panel.get_by_text("chimes is ready.")).to_be_visible(timeout=TRAINING_MS)
        play(page, "chimes")
        page.close()


def test_a_finished_model_is_chosen_only_where_it_was_trained(url, new_page, sounds):
    page, other = new_page(url), new_page(url)
    choose_model(other, "steered")
    panel = choose_sounds(page, sounds)
    panel.get_by_role("checkbox", name=re.compile(r"^5\.wav")).uncheck()
    expect(panel.get_by_text("5 recordings, 4.0 seconds of sound.")).to_be_visible()
    panel.get_by_role("checkbox", name=re.compile(r"^4\.wav")).uncheck()
    expect(panel.get_by_role("button", name="Train", exact=True)).to_be_disabled()
    panel.get_by_role("checkbox", name=re.compile(r"^4\.wav")).check()
    set_options(panel, 2, 1)
    train(panel, "quick")
    expect(panel.get_by_text("quick is ready.")).to_be_visible(timeout=TRAINING_MS)
    expect(panel.get_by_role("cell", name="quick.md")).to_be_visible()
    page.get_by_role("tab", name="Prior").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^quick,"))
    other.get_by_role("tab", name="Train model").click()
    expect(other.get_by_text("quick is ready.")).to_be_visible()
    other.get_by_role("tab", name="Prior").click()
    expect(other.get_by_label("Model", exact=True)).to_have_value(re.compile("^steered"))
