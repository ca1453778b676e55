"""Settings and presets that are there again when the page is loaded again."""

import json
import re

import pytest
from playwright.sync_api import expect

from distill_prior_gen.ui.remembered import MAX_TEXT
from tests.ui.test_browser import (
    alone,
    both,
    browser,
    choose_model,
    folder,
    in_the_app,
    new_page,
    open_advanced,
    pytestmark,
    set_number,
)

__all__ = ["alone", "both", "browser", "folder", "in_the_app", "new_page", "pytestmark"]

STORED = "localStorage.getItem('distill-prior-settings')"


def reload(page):
    page.wait_for_timeout(1500)  # else it would log what it still waits for
    page.reload()
    page.get_by_role("tab", name="Prior").click()


def remembered(page):
    return json.loads(page.evaluate(STORED) or "[]")


def number(page, label):
    return page.get_by_label(f"number input for {label}")


def test_the_page_has_its_settings_again(both, new_page):
    page = new_page(both)
    choose_model(page, "steered")
    set_number(page, "Temperature", 0.7)
    set_number(page, "Duration (seconds)", 3)
    page.get_by_label("Loop").check()
    page.get_by_role("textbox", name="Seed").fill("41")
    page.get_by_role("button", name="Character").click()
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
    expect(page.get_by_label("Vocoder")).to_have_value("auto")
    expect(page.get_by_label("normal")).to_be_checked()
