"""A take that goes on while it plays, in a real browser."""

import re
import shutil
import time

import pytest
from playwright.sync_api import expect

from distill_prior_gen.store.takes import TakeStore
from tests.ui.test_browser import (
    ALONE,
    browser,
    choose_model,
    folder,
    generate,
    in_the_app,
    new_page,
    pytestmark,
    serve,
    set_number,
    wait_for_take,
)
from tests.ui.test_store_browser import reload

__all__ = ["browser", "folder", "in_the_app", "new_page", "pytestmark"]

PLAYED = "window.distillPrior.playOn.played()"
LENGTH = "document.querySelector('#distill-prior-player audio')?.duration"


@pytest.fixture(scope="module")
def saving(folder):
    shutil.rmtree(folder / "generated", ignore_errors=True)
    process, url = serve([*ALONE, "models"], folder, autosave="yes")
    yield url
    process.terminate()
    process.wait(20)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def wait_until_played(page, seconds):
    page.wait_for_function(f"{PLAYED} > {seconds}")


@pytest.mark.parametrize("model", ["small", "steered"])
def test_a_take_goes_on_and_what_was_played_becomes_a_take(saving, new_page, model):
    page = new_page(saving)
    choose_model(page, model)
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (2 s)")).to_be_enabled()
    first = page.get_by_role("radio", checked=True).first.get_attribute("value")
    expect(button(page, "Stop")).to_be_hidden()

    button(page, "Play on").click()
    wait_until_played(page, 1.5)
    expect(button(page, "Play on")).to_be_hidden()
    set_number(page, "Temperature", 0.4)
    set_number(page, "Top-p", 0.0)
    wait_until_played(page, 9)
    button(page, "Stop").click()
    expect(page.get_by_text(re.compile("take \\d+ played on")).first).to_be_visible()
    summary = page.get_by_text(re.compile(r"Temperature 0\.4, top-p off"))
    expect(summary).to_be_visible()
    page.wait_for_function(f"{LENGTH} > 9 && {LENGTH} < 15")
    assert page.get_by_role("radio", checked=True).first.get_attribute("value") != first
    expect(button(page, "Play on")).to_be_enabled()
    assert page.evaluate(PLAYED) == 0

    reload(page)
    page.wait_for_function(f"{LENGTH} > 9")
    expect(page.get_by_role("button", name="Redraw")).to_be_enabled()
    expect(page.locator(".board .mel img")).to_be_visible()


def test_a_take_goes_on_from_its_end_and_cancel_keeps_it_too(saving, new_page):
    page = new_page(saving)
    choose_model(page, "small")
    set_number(page, "Duration (seconds)", 12)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (24 s)")).to_be_enabled()
    page.wait_for_function(f"{LENGTH} == 12")
    page.evaluate("document.querySelector('#distill-prior-player audio').currentTime = 12")
    button(page, "Play on").click()
    wait_until_played(page, 2)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(re.compile("take \\d+ played on")).first).to_be_visible()
    page.wait_for_function(f"{LENGTH} > 14 && {LENGTH} < 17")


def test_sound_follows_without_a_gap(saving, new_page):
    """The page's own clock: as much was played as time went by."""
    page = new_page(saving)
    choose_model(page, "small")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (2 s)")).to_be_enabled()
    button(page, "Play on").click()
    wait_until_played(page, 1)
    start = page.evaluate(f"[performance.now(), {PLAYED}]")
    wait_until_played(page, 8)
    end = page.evaluate(f"[performance.now(), {PLAYED}]")
    assert end[1] - start[1] == pytest.approx((end[0] - start[0]) / 1000, abs=0.3)
    button(page, "Stop").click()
    expect(page.get_by_text(re.compile("take \\d+ played on")).first).to_be_visible()


def test_what_cannot_go_on_says_why(saving, new_page):
    page = new_page(saving)
    choose_model(page, "small")
    set_number(page, "Duration (seconds)", 1)
    page.get_by_label("Loop").check()
    generate(page)
    expect(button(page, "Play on: not with loop")).to_be_disabled()


def test_a_take_goes_on_in_the_app(in_the_app, new_page):
    page = new_page(in_the_app)
    choose_model(page, "small")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)
    button(page, "Play on").click()
    wait_until_played(page, 3)
    button(page, "Stop").click()
    wait_for_take(page, 2)
    page.wait_for_function(f"{LENGTH} > 3")


def test_a_page_that_is_closed_keeps_what_it_had_got(saving, new_page, folder):
    page = new_page(saving)
    choose_model(page, "small")
    page.get_by_role("textbox", name="Seed").fill("77")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (2 s)")).to_be_enabled()
    button(page, "Play on").click()
    wait_until_played(page, 2)
    page.close()
    part = TakeStore(folder / "generated" / "takes").part()
    for _ in range(60):
        kept = [take for take in part.takes() if take.config.seed == 77 and take.origin]
        if kept:
            break
        time.sleep(1)
    page = new_page(saving)
    wait_for_take(page, kept[0].number)
    page.wait_for_function(f"{LENGTH} > 2")
