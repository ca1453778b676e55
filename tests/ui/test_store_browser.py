"""Takes that the tab saves, in a real browser: after a reload, a restart, and among machines."""

import re

import pytest
import soundfile
from playwright.sync_api import expect

from distill_prior_gen.store.takes import TakeStore
from tests.helpers.browser import (
    ALONE,
    IN_THE_APP,
    NEEDS_BROWSER,
    PLAYER_READY,
    audio,
    button,
    download,
    expect_samples,
    generate,
    radio,
    reload,
    serve,
    set_number,
    wait_for_take,
)
from tests.helpers.models import write_model

pytestmark = NEEDS_BROWSER


@pytest.fixture
def place(copy_folder):
    """A folder of a server of its own, where no take was saved."""
    return copy_folder()


@pytest.fixture
def start(place):
    """Starts servers that save takes."""
    processes = []

    def start(*command):
        process, url = serve(command, place, autosave="yes")
        processes.append(process)
        return process, url

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


def listed(folder):
    """The takes of this machine and whether they have a star."""
    part = TakeStore(folder / "generated" / "takes").part()
    return {number: files.starred for number, files in part.listed().items()}


def make_and_load_again(page, folder):
    """Make two takes, which are there again when the page is loaded again."""
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


def make_with_uploaded_model(page, path):
    """Make a third take with a model that the server forgets when it ends."""
    page.locator("input[type=file]").first.set_input_files(path)
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^mine"))
    make(page, 9)
    wait_for_take(page, 3)


def hear_without_model(page):
    """Hear and download the take whose model is gone."""
    wait_for_take(page, 3)
    expect_samples(page, 8_000)
    expect(page.get_by_text("mine.distill is not in the list of models")).to_be_visible()
    assert download(page) == {"take-3.flac", "take-3.flac.json"}


def hear_and_make_another(page):
    for number, samples in ((2, 16_000), (1, 8_000)):
        radio(page, number).check()
        expect(page.get_by_text(f"Seed {number}, {number} s of sound")).to_be_visible()
        expect_samples(page, samples)
        expect(page.locator(".board .mel img")).to_be_visible()
    make(page, 3)
    wait_for_take(page, 4)
    pictures = """() => [...document.querySelectorAll("#distill-prior-takes label")].map(
        label => getComputedStyle(label, "::after").backgroundImage)"""
    urls = page.evaluate(pictures)
    assert len(urls) == 4
    assert all(re.match(r'url\("data:image/png;base64,.{100}', url) for url in urls)
    assert len(set(urls)) == 4


def compare(page):
    """Hear the second take and the first one in turn."""
    for number, samples in ((2, 16_000), (1, 8_000)):
        radio(page, number).check()
        expect_samples(page, samples)
        expect(page.locator(".board .mel img")).to_be_visible()
    for samples, number in ((16_000, 2), (8_000, 1)):
        page.get_by_role("button", name="A/B").click()
        expect_samples(page, samples)
        expect(radio(page, number)).to_be_checked()


def edit_and_export(page, folder):
    """Redraw a part of the first take, and export what was kept of it after a reload."""
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
    expect(radio(page, 5)).to_be_checked()
    sound, _ = audio(page)
    saved, _ = soundfile.read(folder / "generated" / "takes" / "take-5.flac")
    assert abs(sound - saved).max() < 2 / 32768

    reload(page)
    wait_for_take(page, 5)
    expect(page.get_by_text("edited (redraw)").first).to_be_visible()
    page.get_by_role("button", name="Export").first.click()
    page.get_by_role("button", name="Export", exact=True).last.click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    exported = next((folder / "generated").glob("small-*.wav"))
    again, _ = soundfile.read(exported)
    assert abs(again - saved).max() <= 2**-22


@pytest.mark.longest
@pytest.mark.parametrize("command", [ALONE, IN_THE_APP], ids=["alone", "app"])
def test_takes_survive_a_reload_a_kill_and_a_restart(start, new_page, place, command, tmp_path):
    process, url = start(*command)
    page = new_page(url)
    make_and_load_again(page, place)
    make_with_uploaded_model(page, write_model(tmp_path / "mine.distill", name="mine", seed=3))
    kill(process, page)
    _, url = start(*command)
    page = new_page(url)
    hear_without_model(page)
    hear_and_make_another(page)
    compare(page)
    edit_and_export(page, place)


def test_takes_are_searched_starred_removed_and_brought_back(saving, new_page, saving_folder):
    page, before = new_page(saving), listed(saving_folder)
    make(page, 5)
    made = page.get_by_role("radio", name=re.compile(r"^\d+: seed 5\b"))
    expect(made).to_be_checked()
    first = int(made.get_attribute("value"))  # after the takes of other tests
    second, third = first + 1, first + 2
    for number, seed in ((second, 50), (third, 500)):
        make(page, seed)
        wait_for_take(page, number)
    radio(page, second).check()
    expect(page.get_by_text("Seed 50, 1 s of sound in")).to_be_visible()
    button(page, "Star").click()
    starred = page.get_by_role("radio", name=f"{second}: ★ seed 50")
    expect(starred).to_be_checked()
    search = page.get_by_label("Search takes")
    search.fill("seed 5")
    expect(radio(page, third)).to_have_count(0)
    expect(radio(page, first)).to_be_visible()
    search.fill("starred")
    expect(radio(page, first)).to_have_count(0)
    expect(radio(page, second)).to_be_checked()
    search.fill("")
    expect(radio(page, third)).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(radio(page, second)).to_have_count(0)
    page.get_by_role("button", name=f"Bring back take {second}").click()
    expect(radio(page, second)).to_be_checked()
    radio(page, first).check()
    expect(page.get_by_text("Seed 5, 1 s of sound")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(radio(page, first)).to_have_count(0)
    reload(page)
    wait_for_take(page, third)
    expect(radio(page, first)).to_have_count(0)
    expect(starred).to_be_visible()
    assert listed(saving_folder) == before | {third: False, second: True}


@pytest.mark.longest
def test_browsers_of_other_machines_see_their_own_takes_alone(start, new_page, place):
    process, url = start(*ALONE, "--host", "0.0.0.0")
    first, second = new_page(url), new_page(url)
    make(first, 1)
    wait_for_take(first, 1)
    make(second, 2)
    wait_for_take(second, 1)
    kill(process, first, second)
    port = url.rpartition(":")[2]
    start(*ALONE, "--host", "0.0.0.0", "--port", port)
    for page, seed in ((first, 1), (second, 2)):
        page.goto(url)
        page.get_by_role("tab", name="Prior").click()
        wait_for_take(page, 1)
        expect(page.get_by_role("radio", name=re.compile(f"^1: seed {seed}"))).to_be_visible()
        expect(radio(page, 2)).to_have_count(0)
    store = TakeStore(place / "generated" / "takes")
    assert [len(part.listed()) for part in store.all_parts()] == [0, 1, 1]
    third = new_page(url)
    expect(radio(third, 1)).to_have_count(0)


def test_nothing_is_saved_if_nobody_wants_it(alone, new_page, folder):
    before = sorted(folder.glob("generated/**/*"))  # what other tests have exported
    page = new_page(alone)
    make(page, 1)
    wait_for_take(page, 1)
    expect(button(page, "Star")).to_have_count(0)
    assert sorted(folder.glob("generated/**/*")) == before
    assert not (folder / "generated" / "takes").exists()
    reload(page)
    expect(page.get_by_role("button", name="Generate")).to_be_visible()
    expect(radio(page, 1)).to_have_count(0)
