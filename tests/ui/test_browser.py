"""The Prior tab in a real browser: in the stand-alone app, and in a stand-in for Distill's."""

import re
import shutil

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.helpers.browser import (
    ALONE,
    NEEDS_BROWSER,
    choose_model,
    download,
    end,
    expect_samples,
    generate,
    make_many_slowly,
    open_advanced,
    serve,
    set_number,
    wait_for_take,
)
from tests.helpers.models import write_model

pytestmark = NEEDS_BROWSER


def test_a_take_is_made_heard_and_seen(both, new_page):
    page = new_page(both)
    expect(page.get_by_label("Model", exact=True)).to_have_value("small, noise, perplexity 4.5")
    set_number(page, "Duration (seconds)", 3)
    set_number(page, "Temperature", 0.7)
    page.get_by_role("textbox", name="Seed").fill("41")
    generate(page)
    wait_for_take(page, 1)
    sound, rate = expect_samples(page, 24_000)
    assert rate == 8_000
    assert np.abs(sound).max() > 0.01
    expect(page.get_by_text("Seed 41, 3 s of sound in")).to_be_visible()
    expect(page.get_by_text("Temperature 0.7, top-p 0.9, top-k off")).to_be_visible()
    picture = page.locator(".board .mel img")
    expect(picture).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 300", arg=picture.element_handle())


def test_progress_is_counted_in_chunks_and_cancel_stops_it(alone, new_page):
    page = new_page(alone)
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)
    make_many_slowly(page)
    expect(page.get_by_text(re.compile(r"Generating chunk \d+/\d+\.\.\."))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".progress-text")).to_have_count(0)
    expect(page.get_by_role("radio", name=re.compile("^1: "))).to_be_visible()
    slow = page.get_by_role("radio", name=re.compile(r"^\d+: .*, slow"))
    finished = slow.count()  # before the click reached the server
    assert finished < 8
    set_number(page, "Duration (seconds)", 1)
    set_number(page, "Takes per click", 2)
    generate(page)
    expect(page.get_by_text("1 s of sound in").first).to_be_visible()
    expect(slow).to_have_count(finished + 2)


def test_a_take_is_played_again_with_its_settings_and_longer(alone, new_page):
    page = new_page(alone)
    for number, (temperature, seed) in enumerate([(0.5, 5), (1.5, 6)], 1):
        set_number(page, "Temperature", temperature)
        set_number(page, "Duration (seconds)", number)
        page.get_by_role("textbox", name="Seed").fill(str(seed))
        generate(page)
        wait_for_take(page, number)
    expect_samples(page, 16_000)
    page.get_by_role("radio", name=re.compile("^1: ")).check()
    expect(page.get_by_text("Seed 5, 1 s of sound in")).to_be_visible()
    expect_samples(page, 8_000)

    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value("5")
    expect(page.get_by_label("number input for Temperature")).to_have_value("0.5")
    expect(page.get_by_label("number input for Duration (seconds)")).to_have_value("1")

    page.get_by_role("button", name="Same seed, longer (2 s)").click()
    wait_for_take(page, 3)
    expect(page.get_by_text("Seed 5, 2 s of sound in")).to_be_visible()

    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("radio", name=re.compile("^3: "))).to_have_count(0)
    expect(page.get_by_text("Seed 6, 2 s of sound in")).to_be_visible()
    for left in (1, 0):
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_role("radio", name=re.compile(r"^\d: "))).to_have_count(left)
    expect(page.get_by_text("Takes of this session")).to_be_hidden()


@pytest.fixture
def recording(tmp_path):
    """0.4 s of a bell, which is less than a chunk."""
    time = np.arange(3_200) / 8_000
    path = tmp_path / "bell.wav"
    soundfile.write(path, np.exp(-6 * time) * np.sin(2 * np.pi * 700 * time) / 2, 8_000)
    return path


def test_a_take_starts_from_a_sound_and_its_settings_come_back(both, new_page, recording):
    page = new_page(both)
    set_number(page, "Duration (seconds)", 2)
    page.get_by_role("button", name="Start from a sound").click()
    page.locator("input[type=file][accept*=audio]").set_input_files(recording)
    expect(page.get_by_role("button", name="Start from a sound: bell.wav")).to_be_visible()
    expect(page.get_by_label("number input for How much is new")).to_have_count(0)
    generate(page)
    wait_for_take(page, 1)
    expect(page.get_by_text("continues bell.wav").first).to_be_visible()
    expect_samples(page, 16_000)

    page.get_by_label("Vary it").check()
    set_number(page, "How much is new", 0.6)
    generate(page)
    wait_for_take(page, 2)
    expect(page.get_by_text("60% of bell.wav new").first).to_be_visible()
    expect_samples(page, 3_200)
    expect(page.get_by_role("button", name="Same seed, longer")).to_be_disabled()
    command = page.get_by_label("The same on the command line").input_value()
    assert re.search(r" --prompt \S+bell\.wav --vary 0\.6 ", command)

    page.get_by_role("radio", name=re.compile("^1: ")).check()
    expect(page.get_by_role("button", name="Same seed, longer (4 s)")).to_be_enabled()
    page.get_by_label("Clear").first.click()
    expect(page.get_by_role("button", name="Start from a sound: bell.wav")).to_have_count(0)
    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_role("button", name="Start from a sound: bell.wav")).to_be_visible()
    expect(page.get_by_label("Continue it")).to_be_checked()
    expect(page.get_by_label("number input for How much is new")).to_have_count(0)
    page.get_by_role("button", name="Same seed, longer (4 s)").click()
    wait_for_take(page, 3)
    expect(page.get_by_text("continues bell.wav").first).to_be_visible()
    expect_samples(page, 32_000)

    page.get_by_role("radio", name=re.compile("^2: ")).check()
    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_label("Vary it")).to_be_checked()
    expect(page.get_by_label("number input for How much is new")).to_have_value("0.6")

    page.get_by_label("Loop").check()
    generate(page)
    expect(
        page.get_by_text(
            "Loop does not go with 'Vary it'; switch Loop off, or choose 'Continue it'"
        )
    ).to_be_visible()


def test_a_loop_with_values_by_level_is_made_and_its_settings_come_back(alone, new_page):
    page = new_page(alone)
    set_number(page, "Duration (seconds)", 1)
    page.get_by_label("Loop").check()
    open_advanced(page)
    by_level = page.get_by_label("Temperature by level")
    by_level.fill("0.9, 0.8")
    page.get_by_label("Temperature at the end").fill("0.5")
    set_number(page, "Context columns", 1)
    generate(page)
    wait_for_take(page, 1)
    expect(page.get_by_text("Temperature 0.9,0.8 to 0.5")).to_be_visible()
    expect(page.get_by_text("1 context column, loop")).to_be_visible()

    page.get_by_label("Loop").uncheck()
    by_level.fill("warm")
    page.get_by_label("Temperature at the end").fill("")
    set_number(page, "Context columns", 3)
    generate(page)
    expect(page.get_by_text("Temperature by level must be empty or numbers")).to_be_visible()
    page.get_by_role("button", name="Use its settings").click()
    expect(by_level).to_have_value("0.9, 0.8")
    expect(page.get_by_label("Temperature at the end")).to_have_value("0.5")
    expect(page.get_by_label("Loop")).to_be_checked()
    expect(page.get_by_label("number input for Context columns")).to_have_value("1")


def test_a_slider_that_is_touched_steers_the_take(alone, new_page):
    page = new_page(alone)
    page.get_by_role("button", name="Character").click()
    expect(page.get_by_text("This model has no timeline prior")).to_be_visible()
    choose_model(page, "steered")
    expect(page.get_by_text("This model has no timeline prior")).to_be_hidden()
    page.get_by_label("Begin like").click()
    page.get_by_role("option", name="sea.wav").click()
    set_number(page, "Brightness", 0.8)
    expect(page.get_by_role("checkbox", name="Brightness")).to_be_checked()
    expect(page.get_by_role("checkbox", name="Loudness")).not_to_be_checked()
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    expect(page.get_by_text("like sea.wav, bright 0.8,")).to_be_visible()
    page.get_by_role("checkbox", name="Brightness").uncheck()
    generate(page)
    expect(page.get_by_text("like sea.wav, mel-griffin-lim")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^1: ")).check()
    page.get_by_role("button", name="Use its settings").click()
    expect(page.get_by_role("checkbox", name="Brightness")).to_be_checked()
    expect(page.get_by_label("number input for Brightness")).to_have_value("0.8")


def test_a_take_is_exported_and_downloaded(both, new_page, folder):
    page = new_page(both)
    page.get_by_role("textbox", name="Seed").fill("77")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)
    page.get_by_role("button", name="Export").first.click()
    page.get_by_label("Format").click()
    page.get_by_role("option", name="flac").click()
    page.get_by_label("Title").fill("Low tide")
    page.get_by_role("button", name="Export", exact=True).last.click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    name = re.search(r"small-77[-\d]*\.flac", page.get_by_text("Saved as").inner_text())[0]
    with soundfile.SoundFile(folder / "generated" / name) as file:
        assert (file.frames, file.title) == (8_000, "Low tide")
    assert (folder / "generated" / f"{name}.json").exists()
    link = page.locator(f"a[download='{name}']").get_attribute("href")
    assert httpx.get(link).content == (folder / "generated" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("mute", "distill train-prior"), ("broken.distill", "not a .distill model")],
)
def test_a_model_that_cannot_be_played_says_why(alone, new_page, name, reason):
    page = new_page(alone)
    choose_model(page, f"{name} (cannot be played)")
    expect(page.get_by_text(reason)).to_be_visible()
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    choose_model(page, "small, noise")
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()
    expect(page.get_by_text(reason)).to_have_count(0)


def test_without_models_the_page_says_where_they_are_looked_for(browser, folder):
    (folder / "empty").mkdir()
    process, url = serve([*ALONE[:-1], "empty"], folder)
    try:
        page = browser.new_page()
        page.goto(url)
        expect(page.get_by_text("No models in empty.")).to_be_visible()
        expect(page.get_by_text("distill-prior train FOLDER -o MODEL.distill")).to_be_visible()
        expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^Demo"))
        expect(page.get_by_role("button", name="Generate")).to_be_enabled()
        shutil.copy(folder / "models" / "small.distill", folder / "empty")
        page.get_by_role("button", name="Refresh").click()
        expect(page.get_by_text("No models in empty.")).to_have_count(0)
        page.close()
    finally:
        end(process)


def test_a_model_is_uploaded(alone, new_page, tmp_path):
    page = new_page(alone)
    mine = write_model(tmp_path / "mine.distill", name="mine", seed=3)
    page.locator("input[type=file]").first.set_input_files(mine)
    expect(page.get_by_label("Model", exact=True)).to_have_value("mine, noise, perplexity 4.5")
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)


def test_a_top_k_beyond_the_codebook_is_said_to_be_meaningless(alone, new_page):
    page = new_page(alone)
    set_number(page, "Top-k", 15)
    expect(page.get_by_text("0 is all of them")).to_be_visible()
    set_number(page, "Top-k", 16)
    expect(page.get_by_text("This model has 16 codes")).to_be_visible()


def test_the_seed_is_randomized_and_the_command_copied(alone, new_page):
    page = new_page(alone)
    page.get_by_role("button", name="Randomize").click()
    expect(page.get_by_role("textbox", name="Seed")).to_have_value(re.compile(r"^\d+$"))
    set_number(page, "Duration (seconds)", 1)
    seed = page.get_by_role("textbox", name="Seed").input_value()
    generate(page)
    wait_for_take(page, 1)
    expect(page.get_by_label("The same on the command line")).not_to_have_value("")
    page.get_by_role("button", name="Copy command").click()
    copied = page.wait_for_function("() => navigator.clipboard.readText()").json_value()
    options = f"-d 1 --sampler continue --vocoder mel-griffin-lim -s {seed}"
    assert re.fullmatch(rf"distill-prior sample \S+small\.distill {options}", copied)


def test_a_wrong_seed_is_a_message_and_the_next_click_works(alone, new_page):
    page = new_page(alone)
    set_number(page, "Duration (seconds)", 1)
    page.get_by_role("textbox", name="Seed").fill("pi")
    generate(page)
    expect(page.get_by_text("seed must be a whole number or empty, not 'pi'")).to_be_visible()
    page.get_by_role("textbox", name="Seed").fill("")
    generate(page)
    wait_for_take(page, 1)


def test_two_browsers_do_not_see_each_others_takes_and_wait_in_line(alone, new_page):
    first, second = new_page(alone), new_page(alone)
    set_number(second, "Duration (seconds)", 1)
    second.get_by_role("textbox", name="Seed").fill("77")
    make_many_slowly(first)
    # The page shows that it waits before the server has its request.
    expect(first.get_by_text(re.compile(r"Generating chunk \d+/\d+\.\.\."))).to_be_visible()
    generate(second)
    expect(second.get_by_text(re.compile(r"queue: \d/\d")).first).to_be_visible()
    first.get_by_role("button", name="Cancel").click()
    wait_for_take(second, 1)
    expect(second.get_by_role("radio", name=re.compile(r"^\d: "))).to_have_count(1)
    expect(second.get_by_role("radio", name="1: seed 77")).to_be_checked()
    expect(first.locator(".progress-text")).to_have_count(0)
    expect(first.get_by_role("radio", name=re.compile(r"^\d: "))).to_have_count(0)


def test_the_keyboard_reaches_every_control(alone, new_page):
    page = new_page(alone)
    set_number(page, "Duration (seconds)", 1)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = "e => e.innerText || e.ariaLabel || e.placeholder || e.id"
        reached.append(page.evaluate(f"({focused})(document.activeElement)"))
        if reached[-1] == "Generate":
            break
    assert reached[-1] == "Generate"
    page.keyboard.press("Enter")
    wait_for_take(page, 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 900])
def test_nothing_runs_over_the_edge(both, new_page, width, theme):
    page = new_page(both, width, theme)
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    set_number(page, "Duration (seconds)", 2)
    open_advanced(page)
    page.get_by_role("button", name="Start from a sound").click()
    page.get_by_label("Vary it").check()
    generate(page)
    wait_for_take(page, 1)
    page.get_by_role("button", name="Export").first.click()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is None or box["x"] + box["width"] <= width


def is_in_sight(page, button):
    page.wait_for_timeout(100)
    box = button.bounding_box()
    return box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]


def test_generate_is_in_sight_and_a_click_shows_at_once(both, new_page):
    page = new_page(both)
    button = page.get_by_role("button", name="Generate")
    for _ in ("Advanced closed", "Advanced open"):
        for width, height in ((1280, 900), (1280, 800), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            assert is_in_sight(page, button)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        open_advanced(page)
    choose_model(page, "slow")
    page.evaluate("scrollTo(0, 0)")
    turning = """button => new Promise(tell => {
        button.click();
        setTimeout(() => tell(getComputedStyle(button, "::after").animationName), 100);
    })"""
    assert button.evaluate(turning) == "distill-prior-turn"
    page.get_by_role("button", name="Cancel").click()
    still = "button => getComputedStyle(button, '::after').animationName == 'none'"
    page.wait_for_function(still, arg=button.element_handle())


def test_enter_in_seed_generates_and_so_does_ctrl_enter_anywhere(both, new_page):
    page = new_page(both)
    page.get_by_label("number input for Duration (seconds)").fill("2")
    page.get_by_label("number input for Duration (seconds)").press("Control+Enter")
    wait_for_take(page, 1)
    expect_samples(page, 16_000)
    page.get_by_role("textbox", name="Seed").fill("5")
    page.get_by_role("textbox", name="Seed").press("Enter")
    wait_for_take(page, 2)
    page.get_by_role("textbox", name="Seed").fill("pi")
    page.get_by_role("textbox", name="Seed").press("Enter")
    fault = page.get_by_text("seed must be a whole number or empty, not 'pi'")
    expect(fault).to_be_visible()
    expect(page.get_by_role("radio", name=re.compile("^2: seed 5"))).to_be_checked()
    page.get_by_role("textbox", name="Seed").fill("6")
    expect(fault).to_be_hidden()


def test_takes_are_compared_in_the_player_and_a_loop_loops(both, new_page):
    page = new_page(both)
    set_number(page, "Duration (seconds)", 8)
    generate(page)
    wait_for_take(page, 1)
    player = page.locator("audio")
    page.wait_for_function("audio => audio.duration == 8", arg=player.element_handle())
    assert not player.evaluate("audio => audio.loop")
    page.get_by_label("Loop").check()
    generate(page)
    wait_for_take(page, 2)
    page.wait_for_function("() => document.querySelector('audio').loop")
    expect(page.get_by_text("Share")).to_have_count(0)
    expect(page.get_by_title("Share").locator("visible=true")).to_have_count(0)

    first, second = (page.get_by_role("radio", name=re.compile(f"^{n}: ")) for n in (1, 2))
    first.check()
    page.wait_for_function("() => !document.querySelector('audio').loop")
    page.get_by_role("button", name="Remove").click()
    expect(first).to_have_count(0)
    page.get_by_role("button", name="Bring back take 1").click()
    expect(first).to_be_checked()
    second.check()
    page.wait_for_function("() => document.querySelector('audio').loop")

    # While a third is made, the second is heard and the first is chosen.
    player.evaluate("audio => { audio.currentTime = 3 }")
    make_many_slowly(page)
    expect(page.locator(".progress-text").first).to_be_visible()
    player.scroll_into_view_if_needed()
    above = """audio => {
        const box = audio.getBoundingClientRect();
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        return document.elementFromPoint(x, y) === audio;
    }"""
    assert player.evaluate(above)
    first.check()
    page.wait_for_function(
        "() => { const audio = document.querySelector('audio');"
        "return !audio.loop && !audio.paused && audio.currentTime > 3 }"
    )
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".progress-text")).to_have_count(0)


def test_a_download_is_named_like_the_take_and_an_export_is_forgotten_with_it(alone, new_page):
    page = new_page(alone)
    set_number(page, "Duration (seconds)", 1)
    for number in (1, 2):
        page.get_by_role("textbox", name="Seed").fill(str(40 + number))
        generate(page)
        wait_for_take(page, number)
    assert download(page) == {"small-42.wav", "small-42.wav.json"}
    page.get_by_role("button", name="Export").first.click()
    page.get_by_role("button", name="Export", exact=True).last.click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^1: ")).check()
    expect(page.get_by_text("Saved as")).to_be_hidden()


def test_a_command_is_copied_where_the_browser_has_no_clipboard_for_pages(alone, new_page):
    """As over plain http."""
    page = new_page(alone)
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })"
    )
    set_number(page, "Duration (seconds)", 1)
    generate(page)
    wait_for_take(page, 1)
    page.get_by_role("button", name="Copy command").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = "() => { delete navigator.clipboard; return navigator.clipboard.readText(); }"
    assert page.evaluate(copied).startswith("distill-prior sample ")
    expect(page.get_by_role("button", name="Copy command")).to_be_visible()


def test_the_model_that_the_app_loads_meanwhile_is_chosen(in_the_app, new_page):
    page = new_page(in_the_app)
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^small"))
    page.get_by_role("tab", name="First").click()
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("button", name="Opened")).to_be_visible()
    try:
        page.get_by_role("tab", name="Prior").click()
        expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^slow"))
    finally:  # all pages of the app share what it has loaded
        page.get_by_role("tab", name="First").click()
        page.get_by_role("button", name="Close").click()
        expect(page.get_by_role("button", name="Closed")).to_be_visible()


# The contrast of each text with the colour behind it, as WCAG 2 defines it.
CONTRASTS = """() => {
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => colour.slice(0, 3)
        .map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const found = colour(getComputedStyle(element).backgroundColor);
            if (found.length === 3) return found;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll(".gradio-container *")].filter((element) =>
        element.checkVisibility() && element.getBoundingClientRect().width > 2
        && [...element.childNodes].some((it) => it.nodeType === 3 && it.data.trim())
        && !["STYLE", "SCRIPT"].includes(element.tagName));
    return texts.map((element) => {
        const pair = [colour(getComputedStyle(element).color), behind(element)].map(luminance);
        return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), element.innerText];
    });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(alone, new_page, theme):
    page = new_page(alone, theme=theme)
    set_number(page, "Duration (seconds)", 1)
    open_advanced(page)
    page.get_by_role("button", name="Start from a sound").click()
    generate(page)
    wait_for_take(page, 1)
    page.wait_for_timeout(500)  # colours change gradually
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 80
    assert [(ratio, text) for ratio, text in contrasts if ratio < 4.5] == []
