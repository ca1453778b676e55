"""Settings and presets that are there again when the page is loaded again."""

import json
import re

import pytest
from playwright.sync_api import expect

from distill_prior_gen.store.presets import list_presets, read_preset, remove_preset, save_preset
from distill_prior_gen.ui.setting_controls import MAX_TEXT
from tests.helpers.browser import (
    ALONE,
    NEEDS_BROWSER,
    choose_model,
    end,
    open_advanced,
    serve,
    set_number,
)

pytestmark = NEEDS_BROWSER

STORED = "localStorage.getItem('distill-prior-settings')"


def reload(page):
    page.reload()
    page.get_by_role("tab", name="Prior").click()


def remembered(page):
    return json.loads(page.evaluate(STORED) or "[]")


def number(page, label):
    return page.get_by_label(f"number input for {label}")


def test_the_page_has_its_settings_again(both, new_page):
    page = new_page(both)
    page.get_by_role("button", name="Character").click()
    expect(page.get_by_text("This model has no timeline prior")).to_be_visible()
    choose_model(page, "steered")
    expect(page.get_by_text("This model has no timeline prior")).to_be_hidden()
    set_number(page, "Temperature", 0.7)
    set_number(page, "Duration (seconds)", 3)
    page.get_by_label("Loop").check()
    page.get_by_role("textbox", name="Seed").fill("41")
    page.get_by_label("Begin like").click()
    page.get_by_role("option", name="sea.wav").click()
    set_number(page, "Brightness", 0.8)
    open_advanced(page)
    page.get_by_label("Temperature by level").fill("0.9, 0.8")
    page.get_by_label("best").check()
    set_number(page, "Takes per click", 2)
    page.wait_for_function(f"() => {STORED}?.includes('sea.wav')")
    reload(page)
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^steered"))
    expect(number(page, "Temperature")).to_have_value("0.7")
    expect(number(page, "Duration (seconds)")).to_have_value("3")
    expect(page.get_by_label("Loop")).to_be_checked()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("41")
    page.get_by_role("button", name="Character").click()
    expect(page.get_by_label("Begin like")).to_have_value("sea.wav")
    expect(page.get_by_role("checkbox", name="Brightness")).to_be_checked()
    expect(number(page, "Brightness")).to_have_value("0.8")
    open_advanced(page)
    expect(page.get_by_label("Temperature by level")).to_have_value("0.9, 0.8")
    expect(page.get_by_label("best")).to_be_checked()
    expect(number(page, "Takes per click")).to_have_value("2")


@pytest.mark.parametrize("stored", ["{", "[1, 2]", '{"model": "small"}'], ids=str)
def test_what_is_no_settings_is_passed_over(alone, new_page, stored):
    page = new_page(alone)
    page.evaluate(f"localStorage.setItem('distill-prior-settings', {json.dumps(stored)})")
    reload(page)
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^small"))
    expect(number(page, "Temperature")).to_have_value("1")


def test_settings_that_no_longer_fit_are_passed_over(alone, new_page):
    page = new_page(alone)
    page.wait_for_function(f"() => {STORED}")
    set_number(page, "Temperature", 0.7)
    page.wait_for_function(f"() => {STORED}?.includes('0.7')")
    values = remembered(page)
    wrong = ["gone.distill", 99, 0.7, "x", None, 1e9, "yes", "x" * (MAX_TEXT + 1), "gone.wav"]
    values[: len(wrong)] = wrong
    page.evaluate("text => localStorage.setItem('distill-prior-settings', text)",
                  json.dumps([*values[:-2], "os.system", "ultra"]))  # fmt: skip
    reload(page)
    expect(number(page, "Temperature")).to_have_value("0.7")
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^small"))
    expect(number(page, "Top-p")).to_have_value("0.9")
    expect(page.get_by_label("Loop")).not_to_be_checked()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("")
    open_advanced(page)
    expect(number(page, "Takes per click")).to_have_value("1")
    expect(page.get_by_label("Vocoder").first).to_have_value("auto")
    expect(page.get_by_label("normal")).to_be_checked()


@pytest.fixture
def preset(alone, folder, monkeypatch):
    """A preset that was saved on the command line while the server ran."""
    monkeypatch.setenv("DISTILL_PRIOR_PRESETS", str(folder / "presets"))
    save_preset("slow and dark", {"temperature": (0.8, 0.5), "bright": 0.2, "duration": 20})
    yield
    for name in list_presets():
        remove_preset(name)


def test_a_preset_is_chosen_saved_renamed_and_deleted(alone, preset, new_page):
    page = new_page(alone)
    chosen = page.get_by_label("Preset", exact=True)
    page.get_by_role("textbox", name="Seed").fill("41")
    page.get_by_label("Loop").check()
    page.get_by_role("button", name="Presets").click()
    chosen.click()
    page.get_by_role("option", name="slow and dark").click()
    expect(number(page, "Duration (seconds)")).to_have_value("20")
    expect(page.get_by_label("Loop")).not_to_be_checked()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("41")
    page.get_by_role("button", name="Character").click()
    expect(page.get_by_role("checkbox", name="Brightness")).to_be_checked()
    open_advanced(page)
    expect(page.get_by_label("Temperature by level")).to_have_value("0.8, 0.5")

    set_number(page, "Duration (seconds)", 12)
    page.get_by_label("Name of the preset").fill("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(chosen).to_have_value("mine")
    saved = read_preset("mine")
    assert (saved["duration"], saved["temperature"], saved["bright"]) == (12, (0.8, 0.5), 0.2)
    assert read_preset("slow and dark")["duration"] == 20
    set_number(page, "Duration (seconds)", 13)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    page.get_by_label("Name of the preset").fill("slow and dark")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_text("there is a preset slow and dark already")).to_be_visible()
    assert read_preset("mine")["duration"] == 13
    page.get_by_label("Name of the preset").fill("../mine")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("'../mine' cannot be the name of a preset")).to_be_visible()
    page.get_by_label("Name of the preset").fill("other")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(chosen).to_have_value("other")
    assert list_presets() == ["other", "slow and dark"]
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(chosen).to_have_value("")
    assert list_presets() == ["slow and dark"]


def test_other_machines_cannot_change_presets(folder, tmp_path, monkeypatch, new_page):
    monkeypatch.setenv("DISTILL_PRIOR_PRESETS", str(tmp_path))
    save_preset("mine", {"duration": 20})
    process, url = serve([*ALONE, "--host", "0.0.0.0"], folder)
    try:
        page = new_page(url)
        page.get_by_role("button", name="Presets").click()
        page.get_by_label("Preset", exact=True).click()
        page.get_by_role("option", name="mine").click()
        expect(number(page, "Duration (seconds)")).to_have_value("20")
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_text("Presets can be changed only on a page")).to_be_visible()
        assert list_presets() == ["mine"]
    finally:
        end(process)
