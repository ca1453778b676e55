"""Takes that the tab saves, in a real browser: after a reload, a restart, and among machines."""

import re
import shutil

import pytest
import soundfile
from playwright.sync_api import expect

from distill_prior_gen.store.takes import TakeStore
from tests.helpers.models import write_model
from tests.ui.test_browser import (
    ALONE,
    IN_THE_APP,
    audio,
    browser,
    expect_samples,
    folder,
    generate,
    new_page,
    pytestmark,
    serve,
    set_number,
    wait_for_take,
)

__all__ = ["browser", "folder", "new_page", "pytestmark"]

PLAYER_READY = "() => document.querySelector('#distill-prior-player audio')?.readyState > 0"


@pytest.fixture
def start(folder):
    """Starts servers, with what is saved by others removed."""
    shutil.rmtree(folder / "generated", ignore_errors=True)
    processes = []

    def start(*options, command=(*ALONE, "models")):
        process, url = serve([*command, *options], folder, autosave="yes")
        processes.append(process)
        return process, url.replace("0.0.0.0", "127.0.0.1")

    yield start
    for process in processes:
        process.kill()
        process.wait(20)


def make(page, seed, seconds=1):
    page.get_by_role("textbox", name="Seed").fill(str(seed))
    set_number(page, "Duration (seconds)", seconds)
    generate(page)


def kill(process, *pages):
    """Kill a server; its pages would log that they have lost it."""
    for page in pages:
        page.wait_for_function(PLAYER_READY)
        page.goto("about:blank")
    process.kill()
    process.wait(20)


def reload(page):
    """Load a page again, whose player would log that it was interrupted."""
    page.wait_for_function(PLAYER_READY)
    page.reload()
    page.get_by_role("tab", name="Prior").click()


def radio(page, number):
    return page.get_by_role("radio", name=re.compile(f"^{number}: "))


@pytest.mark.parametrize("command", [(*ALONE, "models"), tuple(IN_THE_APP)], ids=["alone", "app"])
def test_takes_survive_a_reload_a_kill_and_a_restart(start, new_page, folder, command):
    process, url = start(command=command)
    page = new_page(url)
    for number in (1, 2):
        make(page, number, number)
        wait_for_take(page, number)
    part = TakeStore(folder / "generated" / "takes").part()
    assert [take.config.seed for take in part.takes()] == [2, 1]

    reload(page)
    wait_for_take(page, 2)
    expect(radio(page, 1)).to_be_visible()
    expect_samples(page, 16_000)
    expect(page.locator(".board .mel img")).to_be_visible()

    kill(process, page)
    _, url = start(command=command)
    page = new_page(url)
    wait_for_take(page, 2)
    expect_samples(page, 16_000)
    radio(page, 1).check()
    expect(page.get_by_text("Seed 1, 1 s of sound")).to_be_visible()
    expect_samples(page, 8_000)
    expect(page.locator(".board .mel img")).to_be_visible()
    make(page, 3)
    wait_for_take(page, 3)

    pictures = """() => [...document.querySelectorAll("#distill-prior-takes label")].map(
        label => getComputedStyle(label, "::after").backgroundImage)"""
    urls = page.evaluate(pictures)
    assert len(urls) == 3
    assert all(re.match(r'url\("data:image/png;base64,.{100}', url) for url in urls)
    assert len(set(urls)) == 3


def test_takes_after_a_restart_are_compared_edited_and_exported(start, new_page, folder):
    process, url = start()
    page = new_page(url)
    for number in (1, 2):
        make(page, number, number)
        wait_for_take(page, number)
    kill(process, page)
    _, url = start()
    page = new_page(url)
    wait_for_take(page, 2)
    radio(page, 1).check()
    expect_samples(page, 8_000)
    expect(page.locator(".board .mel img")).to_be_visible()
    for samples, number in ((16_000, 2), (8_000, 1)):
        page.get_by_role("button", name="A/B").click()
        expect_samples(page, samples)
        expect(radio(page, number)).to_be_checked()

    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("1")
    box = page.locator(".board .plot").first.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.locator("#distill-prior-redraw").click()
    expect(page.get_by_role("button", name="Keep as a take")).to_be_enabled()
    expect(page.locator(".progress-text")).to_have_count(0)
    page.get_by_role("button", name="Keep as a take").click()
    expect(radio(page, 3)).to_be_checked()
    sound, _ = audio(page)
    saved, _ = soundfile.read(folder / "generated" / "takes" / "take-3.flac")
    assert abs(sound - saved).max() < 2 / 32768

    reload(page)
    wait_for_take(page, 3)
    expect(page.get_by_text("edited (redraw)").first).to_be_visible()
    page.get_by_role("button", name="Export").first.click()
    page.get_by_role("button", name="Export", exact=True).last.click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    exported = next((folder / "generated").glob("small-*.wav"))
    again, _ = soundfile.read(exported)
    assert abs(again - saved).max() <= 2**-22


def test_takes_are_searched_starred_removed_and_brought_back(start, new_page, folder):
    _, url = start()
    page = new_page(url)
    for number, seed in ((1, 5), (2, 50), (3, 500)):
        make(page, seed)
        wait_for_take(page, number)
    radio(page, 2).check()
    expect(page.get_by_text("Seed 50, 1 s of sound in")).to_be_visible()
    page.get_by_role("button", name="Star", exact=True).click()
    expect(page.get_by_role("radio", name="2: ★ seed 50")).to_be_checked()
    search = page.get_by_label("Search takes")
    search.fill("seed 5")
    expect(radio(page, 3)).to_have_count(0)
    expect(radio(page, 1)).to_be_visible()
    search.fill("starred")
    expect(radio(page, 1)).to_have_count(0)
    expect(radio(page, 2)).to_be_checked()
    search.fill("")
    expect(radio(page, 3)).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(radio(page, 2)).to_have_count(0)
    page.get_by_role("button", name="Bring back take 2").click()
    expect(radio(page, 2)).to_be_checked()
    radio(page, 1).check()
    expect(page.get_by_text("Seed 5, 1 s of sound")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(radio(page, 1)).to_have_count(0)
    reload(page)
    wait_for_take(page, 3)
    expect(radio(page, 1)).to_have_count(0)
    expect(page.get_by_role("radio", name="2: ★ seed 50")).to_be_visible()
    part = TakeStore(folder / "generated" / "takes").part()
    assert {n: files.starred for n, files in part.listed().items()} == {3: False, 2: True}


def test_a_take_whose_model_is_gone_is_heard_and_downloaded(start, new_page, folder, tmp_path):
    process, url = start()
    page = new_page(url)
    mine = write_model(tmp_path / "mine.distill", name="mine", seed=3)
    page.locator("input[type=file]").first.set_input_files(mine)
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^mine"))
    make(page, 9)
    wait_for_take(page, 1)
    kill(process, page)
    _, url = start()
    page = new_page(url)
    wait_for_take(page, 1)
    expect_samples(page, 8_000)
    expect(page.get_by_text("mine.distill is not in the list of models")).to_be_visible()
    downloads = []
    page.on("download", lambda file: downloads.append(file))
    page.get_by_role("button", name="Download").click()
    for _ in range(50):
        page.wait_for_timeout(100 if len(downloads) < 2 else 0)
    assert {file.suggested_filename for file in downloads} == {"take-1.flac", "take-1.flac.json"}


def test_browsers_of_other_machines_see_their_own_takes_alone(start, new_page, folder):
    process, url = start("--host", "0.0.0.0")
    first, second = new_page(url), new_page(url)
    make(first, 1)
    wait_for_take(first, 1)
    make(second, 2)
    wait_for_take(second, 1)
    kill(process, first, second)
    port = url.rpartition(":")[2]
    start("--host", "0.0.0.0", "--port", port)
    for page, seed in ((first, 1), (second, 2)):
        page.goto(url)
        page.get_by_role("tab", name="Prior").click()
        wait_for_take(page, 1)
        expect(page.get_by_role("radio", name=re.compile(f"^1: seed {seed}"))).to_be_visible()
        expect(radio(page, 2)).to_have_count(0)
    store = TakeStore(folder / "generated" / "takes")
    assert [len(part.listed()) for part in store.all_parts()] == [0, 1, 1]
    third = new_page(url)
    expect(radio(third, 1)).to_have_count(0)


def test_nothing_is_saved_if_nobody_wants_it(start, new_page, folder):
    _, url = start("--no-autosave")
    page = new_page(url)
    make(page, 1)
    wait_for_take(page, 1)
    expect(page.get_by_role("button", name="Star", exact=True)).to_have_count(0)
    assert not (folder / "generated").exists()
    reload(page)
    expect(page.get_by_role("button", name="Generate")).to_be_visible()
    expect(radio(page, 1)).to_have_count(0)
