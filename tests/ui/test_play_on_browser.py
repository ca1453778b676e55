"""A take that goes on while it plays, in a real browser."""

import re
import time

import pytest
from playwright.sync_api import expect

from distill_prior_gen.store.takes import TakeStore
from tests.helpers.browser import (
    NEEDS_BROWSER,
    button,
    choose_model,
    generate,
    reload,
    set_number,
    wait_for_take,
)

pytestmark = NEEDS_BROWSER

PLAYED = "window.distillPrior.playOn.played()"
LENGTH = "document.querySelector('#distill-prior-player audio')?.duration"


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


RECORD = """() => {
    const start = AudioBufferSourceNode.prototype.start;
    window.scheduled = [];
    AudioBufferSourceNode.prototype.start = function (when, ...rest) {
        const { context, buffer } = this;
        window.context = context;
        window.scheduled.push([context.currentTime, when, buffer.length, context.sampleRate]);
        return start.call(this, when, ...rest);
    };
}"""
"""Notes when each piece is scheduled: the time, when it is to begin, its frames, and the rate."""


def spans_of(pieces):
    """The first frame of each piece and the one after its last; none may overlap or leave a gap.

    A piece may begin later than the one before ends only if that end was over when it came.
    """
    spans: list[tuple[int, int]] = []
    for now, when, length, rate in pieces:
        begin = round(when * rate)
        if spans:
            end = spans[-1][1]
            assert begin == end or (begin > end and end < now * rate)
        spans.append((begin, begin + length))
    return spans


def test_pieces_follow_each_other_without_a_gap(saving, new_page):
    page = new_page(saving)
    choose_model(page, "small")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (2 s)")).to_be_enabled()
    page.evaluate(RECORD)
    button(page, "Play on").click()
    wait_until_played(page, 8)
    moment = f"[context.currentTime, {PLAYED}, context.currentTime, scheduled]"
    before, played, after, pieces = page.evaluate(moment)
    button(page, "Stop").click()
    expect(page.get_by_text(re.compile("take \\d+ played on")).first).to_be_visible()
    assert len(pieces) > 2
    spans, rate = spans_of(pieces), pieces[0][3]
    earliest, latest = (
        sum(min(max(time * rate - begin, 0), end - begin) for begin, end in spans)
        for time in (before, after)
    )
    assert earliest - 1 <= played * rate <= latest + 1


@pytest.mark.parametrize("begin", [149, 151])
def test_an_overlap_or_a_gap_would_be_seen(begin):
    with pytest.raises(AssertionError):
        spans_of([(0, 0.5, 100, 100), (1.4, begin / 100, 100, 100)])


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


def test_a_page_that_is_closed_keeps_what_it_had_got(saving, new_page, saving_folder):
    page = new_page(saving)
    choose_model(page, "small")
    page.get_by_role("textbox", name="Seed").fill("77")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_role("button", name="Same seed, longer (2 s)")).to_be_enabled()
    button(page, "Play on").click()
    wait_until_played(page, 2)
    page.close()
    part = TakeStore(saving_folder / "generated" / "takes").part()
    for _ in range(60):
        kept = [take for take in part.takes() if take.config.seed == 77 and take.origin]
        if kept:
            break
        time.sleep(1)
    page = new_page(saving)
    wait_for_take(page, kept[0].number)
    page.wait_for_function(f"{LENGTH} > 2")
