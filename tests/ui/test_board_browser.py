"""Whole edits on the board in a real browser: with the mouse, the keyboard and by touch."""

import json
import re
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.helpers.browser import (
    NEEDS_BROWSER,
    audio,
    button,
    choose_model,
    expect_samples,
    generate,
    set_number,
    wait_for_take,
)

pytestmark = NEEDS_BROWSER


@pytest.fixture
def open_board(alone, new_page):
    """Opens a page with a take of four seconds on its board."""

    def open_board(width=1280, **options: Any):
        page = new_page(alone, width, **options)
        choose_model(page, "rows")
        page.get_by_role("textbox", name="Seed").fill("2")
        set_number(page, "Duration (seconds)", 4)
        generate(page)
        wait_for_take(page, 1)
        expect(page.locator(".board")).to_be_visible()
        expect_samples(page, 32_000)
        return page

    return open_board


def plot(page, panel=0):
    """A panel of the picture and its box in the window; 0 is the spectrum."""
    found = page.locator(".board .plot").nth(panel)
    found.evaluate("plot => plot.scrollIntoView({ block: 'center' })")
    return found, found.bounding_box()


def drag(page, start, end, low=0.5, high=0.5, panel=0):
    """Drag from a second to another one, and between two heights from 0 below to 1."""
    _, box = plot(page, panel)
    places = [
        (box["x"] + box["width"] * second / 4, box["y"] + box["height"] * (1 - height))
        for second, height in ((start, low), (end, high))
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=5)
    page.mouse.up()


def press(page, *keys):
    page.locator("#distill-prior-board").focus()
    for key in keys:
        page.keyboard.press(key)


def fault(page):
    return page.locator("#distill-prior-status .fault")


def alternatives(page):
    return page.locator("#distill-prior-alternatives input")


def wait_until_shown(page, shown):
    """Wait until the player plays other samples than `shown`, and return them."""
    for _ in range(100):
        if not np.array_equal(sound := audio(page)[0], shown):
            return sound
        page.wait_for_timeout(50)
    raise AssertionError("the player still plays the same sound")


def test_a_whole_edit(open_board, folder, run, tmp_path):
    page = open_board()
    original, _ = audio(page)
    drag(page, 1.1, 2.05)
    expect(page.get_by_text(re.compile(r"To be redrawn: 1\.02 to 2\.18 s\."))).to_be_visible()
    button(page, "Redraw").click()
    expect(alternatives(page)).to_have_count(4)
    expect(alternatives(page).nth(1)).to_be_checked()
    expect(page.locator(".progress-text")).to_have_count(0)
    first = wait_until_shown(page, original)
    assert np.array_equal(first[:4_000], original[:4_000])
    assert np.array_equal(first[-8_000:], original[-8_000:])

    alternatives(page).nth(2).check()
    second = wait_until_shown(page, first)
    assert not np.array_equal(second, original)
    expect(page.get_by_role("radio", name=re.compile("^1: "))).not_to_be_checked()

    button(page, "Undo").click()
    assert np.array_equal(wait_until_shown(page, second), original)
    expect(button(page, "Undo")).to_be_disabled()
    button(page, "Redo").click()
    assert np.array_equal(wait_until_shown(page, original), second)
    button(page, "A/B").click()
    assert np.array_equal(wait_until_shown(page, second), original)
    button(page, "A/B").click()
    assert np.array_equal(wait_until_shown(page, original), second)

    button(page, "Keep as a take").click()
    kept = page.get_by_role("radio", name=re.compile("^2: .*edited from take 1"))
    expect(kept).to_be_checked()
    expect(button(page, "Keep as a take")).to_be_disabled()
    page.get_by_role("button", name="Export").first.click()
    button(page, "Export").last.click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    name = re.search(r"rows-2[-\d]*\.wav", page.get_by_text("Saved as").inner_text())[0]
    written = folder / "generated" / name
    (edit,) = json.loads((folder / "generated" / f"{name}.json").read_text())["edits"]
    assert edit["operation"] == "redraw"
    result = run("replay", str(written) + ".json", "-o", str(tmp_path / "again.wav"))
    assert result.exit_code == 0, result.output
    again, _ = soundfile.read(tmp_path / "again.wav", dtype="int32")
    exported, _ = soundfile.read(written, dtype="int32")
    assert np.array_equal(again, exported)
    assert np.abs(exported / 2**31 - second).max() < 2 / 32768


def test_regions_are_added_limited_to_rows_and_removed(open_board):
    page = open_board()
    regions = page.locator(".panel.mel .region")
    drag(page, 0.5, 1)
    drag(page, 2, 3, low=0.55, high=0.95)
    expect(regions).to_have_count(2)
    height = plot(page)[1]["height"]
    whole, part = (region.bounding_box()["height"] for region in regions.all())
    assert whole == pytest.approx(height, abs=2)
    assert part == pytest.approx(height / 2, abs=2)  # two of the four rows
    page.get_by_role("button", name=re.compile("^Do not redraw 0.38 to 1.02 s")).click()
    expect(regions).to_have_count(1)
    page.keyboard.press("Delete")
    expect(regions).to_have_count(0)
    button(page, "Redraw").click()
    expect(fault(page)).to_have_text("select what to redraw: drag over the picture")


def test_a_click_plays_a_place_and_tells_what_is_there(open_board):
    page = open_board()
    player = page.locator("audio")
    found, box = plot(page, 2)
    found.click(position={"x": box["width"] * 0.5, "y": 5})
    expect(
        page.get_by_text(re.compile(r"Timbre, 1\.92 to 2\.05 s, .* code \d+, at "))
    ).to_be_visible()
    page.wait_for_function("() => !document.querySelector('audio').paused")
    page.wait_for_function("() => document.querySelector('audio').paused")
    assert 2.4 < player.evaluate("audio => audio.currentTime") < 3.0
    head = page.locator(".playhead").bounding_box()
    share = player.evaluate("audio => audio.currentTime / audio.duration")
    assert head["x"] == pytest.approx(box["x"] + share * box["width"], abs=4)

    # While it plays, a click only moves it.
    player.evaluate("audio => { audio.currentTime = 0; return audio.play() }")
    found, box = plot(page)
    found.click(position={"x": box["width"] * 0.25, "y": 50})
    page.wait_for_function("() => document.querySelector('audio').currentTime > 2.2")
    expect(page.get_by_text(re.compile("Structure, 0.9"))).to_be_visible()


def test_a_whole_edit_with_the_keyboard(open_board):
    page = open_board()
    original, _ = audio(page)
    press(page, "ArrowRight", *["ArrowRight"] * 8, *["Shift+ArrowRight"] * 5)
    expect(page.locator(".panel.mel .region")).to_have_count(1)
    press(page, "Enter")
    expect(alternatives(page)).to_have_count(4)
    expect(page.locator(".progress-text")).to_have_count(0)
    first = wait_until_shown(page, original)
    press(page, "3")
    third = wait_until_shown(page, first)
    press(page, "Control+z")
    assert np.array_equal(wait_until_shown(page, third), original)
    press(page, "Control+Shift+Z")
    assert np.array_equal(wait_until_shown(page, original), third)
    press(page, "x")
    assert np.array_equal(wait_until_shown(page, third), original)
    press(page, "Escape")
    expect(page.locator(".region")).to_have_count(0)
    # Elsewhere the keys do what they always do.
    seed = page.get_by_role("textbox", name="Seed")
    seed.fill("")
    seed.press_sequentially("rax1")
    expect(seed).to_have_value("rax1")
    assert np.array_equal(audio(page)[0], original)


def test_an_edit_by_touch(open_board):
    page = open_board(390, touch=True)
    original, _ = audio(page)
    _, box = plot(page)
    session = page.context.new_cdp_session(page)

    def touch(kind, x=None, y=None):
        points = [] if x is None else [{"x": x, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    middle = box["y"] + box["height"] / 2
    left = box["x"] + box["width"] * 0.3
    touch("touchStart", left, middle)
    for step in range(1, 9):
        touch("touchMove", left + 10 * step, middle + step % 3)
    touch("touchEnd")
    expect(page.locator(".panel.mel .region")).to_have_count(1)
    page.wait_for_timeout(500)  # right after a movement, a tap only ends it
    button(page, "Redraw").tap()
    expect(alternatives(page)).to_have_count(4)
    wait_until_shown(page, original)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    # A vertical movement scrolls the page.
    found, box = plot(page)
    before = page.evaluate("scrollY")
    regions = page.locator(".panel.mel .region").count()
    touch("touchStart", box["x"] + 20, box["y"] + 150)
    for step in range(1, 12):
        touch("touchMove", box["x"] + 20, box["y"] + 150 - 12 * step)
    touch("touchEnd")
    page.wait_for_function(f"() => Math.abs(scrollY - {before}) > 40")
    assert found.page.locator(".panel.mel .region").count() == regions


def test_two_takes_are_joined(open_board):
    page = open_board()
    generate(page)
    wait_for_take(page, 2)
    page.get_by_role("button", name="With another take").click()
    button(page, "Fill between").click()
    expect(fault(page)).to_have_text("choose the other take first")
    page.get_by_label("Other take", exact=True).click()
    page.get_by_role("option", name=re.compile("^1: ")).click()
    set_number(page, "Seconds between", 1)
    button(page, "Fill between").click()
    expect(page.get_by_text("from take 2 to take 1")).to_be_visible()
    expect_samples(page, 72_000)
    button(page, "Undo").click()
    expect_samples(page, 32_000)
    button(page, "Morph").click()
    expect(page.get_by_text("take 2 with 50% of take 1")).to_be_visible()
