"""The board on the side of the server: its history, its picture, and edits of takes."""

import base64
import io
import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import gradio as gr
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from distill_prior_gen import GenerationConfig, generate
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.ui import take_maker
from distill_prior_gen.ui.board import draw_board
from distill_prior_gen.ui.history import History
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.pictures import decibels
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS, to_page
from distill_prior_gen.ui.take import Take, describe
from distill_prior_gen.ui.take_editor import EditRequest, choose, edit, read_regions
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import remove_take, show_board, show_take

WHERE = {"first": 2, "last": 3, "low": 0, "high": 1}


def silently(*_: Any, **__: Any) -> None:
    """Instead of a progress bar."""


@given(st.lists(st.one_of(st.just("undo"), st.just("redo"), st.just("switch"), st.integers(0, 3))))
def test_undo_and_redo_return_to_the_same_states(actions):
    """Compared with a list of states and a place in it; a number adds that many alternatives."""
    history: History[object] = History()
    states: list[object] = []
    place, before = -1, -1
    for action in actions:
        shown = place
        if isinstance(action, int):
            new = object()
            alternatives = [object() for _ in range(action)]
            history.add(*alternatives, new)
            states, place = [*states[: place + 1], new], place + 1
        elif action == "undo":
            history.undo()
            place = max(place - 1, min(place, 0))
        elif action == "redo":
            history.redo()
            place = min(place + 1, len(states) - 1)
        elif 0 <= before < len(states):
            history.switch()
            place = before
        if place != shown or isinstance(action, int) or action == "switch":
            before = shown
        assert history.state is (states[place] if states else None)
        assert history.can_move(-1) == (place > 0)
        assert history.can_move(1) == (place < len(states) - 1)


def test_a_chosen_alternative_is_what_one_returns_to():
    history: History[str] = History()
    history.add("take")
    history.add("take", "first", "second")
    assert history.state == "second"
    history.choose(1)
    history.switch()
    assert history.state == "second"
    history.switch()
    history.add("other")
    history.undo()
    assert history.state == "first"
    history.undo()
    assert history.state == "take"
    history.redo()
    history.choose(0)  # the state before the change, so that there is nothing to undo
    assert not history.can_move(-1)


@given(st.lists(st.integers(0, 4), min_size=1), st.data())
def test_a_state_that_is_dropped_is_nowhere_and_the_others_stay(alternatives, data):
    history: History[object] = History()
    for count in alternatives:
        history.add(*[object() for _ in range(count + 1)])
    for _ in range(data.draw(st.integers(0, len(alternatives)))):
        history.undo()
    dropped = data.draw(st.sampled_from(list(history.states())))
    shown, chosen = history.state, [step.state for step in history.steps]
    history.drop(dropped)
    assert all(state is not dropped for state in history.states())
    assert [step.state for step in history.steps] == [s for s in chosen if s is not dropped]
    if shown is not dropped:
        assert history.state is shown


@pytest.fixture
def maker(tmp_path, model_path):
    return TakeMaker(ModelList(TabContext((model_path.parent,), tmp_path, device="cpu")))


def values(model, **changes):
    page = to_page(GenerationConfig(duration=2, seed=1)) | changes
    return [page[name] for name in SETTINGS]


@pytest.fixture
def session(maker, model):
    session = Session()
    maker.make_takes("small.distill", values(model), 1, session, None, silently)
    show_take(None, session)
    return session


def run(maker, model, session, operation="redraw", page=None, **changes):
    """All steps of an edit that yields as many as there are alternatives."""
    asked = {
        "regions": [WHERE], "levels": [0, 1], "count": 1, "other": None, "gap": 0.5, "amount": 0.5,
    }  # fmt: skip
    request = EditRequest(**asked | changes)
    return list(
        edit(maker, operation, request, values(model, **page or {}), session, None, silently)
    )


def test_a_region_is_redrawn_in_alternatives_and_the_rest_stays(maker, model, session):
    before = session.history.state.result
    steps = run(maker, model, session, count=3)
    assert len(steps) == 3
    assert len(steps[-1].options) == 4
    seeds = set()
    for take in steps[-1].options[1:]:
        new = take.result.edits[-1].codes
        old = before.layout.code_map(before.codes.unflatten(1, (model.grid[0], -1)))
        changed = (new != old).nonzero()
        assert len(changed)
        assert changed[:, 0].max() <= 1
        assert set(changed[:, 1].tolist()) <= {2, 3}
        seeds.add(take.result.edits[-1].config.seed)
    assert len(seeds) == 3
    assert session.history.state is steps[-1].options[1]


def test_an_edit_is_undone_kept_and_named_after_its_take(maker, model, session):
    original = session.history.state
    run(maker, model, session, levels=[1])
    edited = session.history.state
    assert edited.result.edits[0].settings["regions"][0]["levels"] == (1,)
    assert not session.is_kept(edited)
    session.history.undo()
    assert session.history.state is original
    session.history.redo()
    session.keep()
    session.keep()
    assert list(session.takes) == [1, 2]
    kept = session.takes[2]
    assert kept.result is edited.result
    assert session.history.state is kept
    assert "edited from take 1" in describe(kept)
    assert kept.command().endswith("distill-prior replay small-1.wav.json")
    run(maker, model, session)
    assert session.history.state.origin == "edited from take 2"


def test_an_edit_that_is_not_kept_stays_within_reach(maker, model, session):
    run(maker, model, session)
    edited = session.history.state
    show_take(1, session)
    assert session.history.state is session.takes[1]
    session.history.undo()
    assert session.history.state is edited
    assert session.get_take(None) is edited
    with pytest.raises(gr.Error, match="This take is not in the list"):
        remove_take(None, session)


def test_two_takes_are_joined_and_blended(maker, model, session):
    maker.make_takes("small.distill", values(model, seed="9"), 1, session, None, silently)
    show_take(1, session)
    (first, second) = (take.result for take in session.takes.values())
    run(maker, model, session, "fill", other=2, gap=0.5)
    joined = session.history.state
    assert joined.origin == "from take 1 to take 2"
    assert len(joined.result.audio) == len(first.audio) + 4_000 + len(second.audio)
    show_take(1, session)
    run(maker, model, session, "morph", other=2, amount=0, count=3)
    assert session.history.state.origin == "take 1 with 0% of take 2"
    assert np.array_equal(session.history.state.result.audio, first.audio)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": []}, "select what to redraw: drag over the picture"),
        ({"regions": None}, "select what to redraw"),
        ({"regions": "all"}, "regions must be a list"),
        ({"regions": [WHERE] * 101}, "regions must be a list of at most 100"),
        ({"regions": [7]}, "a region must have first, last, low, high, not be 7"),
        ({"regions": [WHERE | {"first": 0.5}]}, "a region must have first, last, low, high"),
        ({"regions": [WHERE | {"first": True}]}, "a region must have first, last, low, high"),
        ({"regions": [WHERE | {"first": -1}]}, "a region lies outside of the take"),
        ({"regions": [WHERE | {"last": 10**9}]}, "a region lies outside of the take"),
        ({"regions": [WHERE | {"low": 1, "high": 0}]}, "a region lies outside of the take"),
        ({"levels": []}, "choose at least one of the levels"),
        ({"levels": [7]}, "choose at least one of the levels"),
        ({"levels": "detail"}, "levels must be a list of numbers, not 'detail'"),
        ({"count": 5}, "alternatives must be a whole number from 1 to 4, not 5"),
        ({"count": "many"}, "alternatives must be a whole number from 1 to 4, not 'many'"),
        ({"operation": "fill"}, "choose the other take first"),
        ({"operation": "fill", "other": 7}, "There is no take 7"),
        ({"operation": "fill", "other": 1, "gap": 1e9}, "seconds between must be"),
        ({"operation": "morph", "other": 1, "amount": float("nan")}, "how much of the other take"),
        ({"page": {"top_p_by_level": "hot"}}, "Top-p by level must be empty or numbers"),
    ],
    ids=str,
)
def test_what_the_page_sends_is_checked(maker, model, session, changes, message):
    with pytest.raises(gr.Error) as error:
        run(maker, model, session, **changes)
    assert message in error.value.message
    assert len(session.history.steps) == 1


@pytest.mark.parametrize("number", [None, True, 1.0, -1, 2, "1", [1]], ids=str)
def test_an_alternative_that_is_not_there_cannot_be_chosen(maker, model, session, number):
    run(maker, model, session)
    with pytest.raises(gr.Error, match="There is no alternative"):
        choose(number, session)


def test_edits_count_for_the_memory_of_all_takes(maker, model, session, monkeypatch):
    run(maker, model, session)
    monkeypatch.setattr(take_maker, "MAX_MEMORY_BYTES", 3 * session.history.state.size)
    run(maker, model, session, count=4)
    run(maker, model, session, count=4)
    takes = session.all_takes()
    assert sum(take.size for take in takes) <= take_maker.MAX_MEMORY_BYTES * 1.1
    assert session.history.state in takes


@pytest.mark.parametrize("sampler", ["continue", "independent"])
def test_a_selected_place_is_redrawn_there_and_nowhere_else(model, sampler):
    """For every rectangle of rows and columns."""
    from distill_prior_gen.editing.code_maps import code_map
    from distill_prior_gen.editing.regions import find_codes

    result = generate(model, GenerationConfig(duration=1.3, seed=3, sampler=sampler))
    take = board_take(model, result)
    layout, _ = code_map(model, result)
    columns = len(take.column_edges()) - 1
    for first in range(columns):
        for low in range(model.grid[0]):
            place = {"first": first, "last": columns - 1, "low": low, "high": low}
            mask = find_codes(model, result, layout, read_regions([place], (0,), take))
            expected = np.zeros(mask.shape, dtype=bool)
            expected[low, first:columns, 0] = True
            assert np.array_equal(mask.numpy(), expected)


def board_take(model, result):
    return Take(
        1, result, model.identity, "m", model.spectrogram, model.grid[0], model.code_usage.tolist()
    )


def pictures_of(page):
    """For each panel, its pictures: left edge and width in per cent, and pixels."""
    panels = []
    for panel in page.split('<div class="plot">')[1:]:
        found = re.findall(
            r'base64,([^"]+)" style="left:([-\d.]+)%;width:([-\d.]+)%', panel.split("</div>")[0]
        )
        panels.append(
            [(float(x), float(w), imread(io.BytesIO(base64.b64decode(png)))) for png, x, w in found]
        )
    return panels


@pytest.mark.parametrize("sampler", ["continue", "independent"])
def test_the_picture_shows_the_codes_where_they_sound(model, sampler):
    """Each code is a rectangle of one colour in its column, counted from below in its row."""
    settings = GenerationConfig(duration=1.2, seed=3, overlap=0, sampler=sampler, context_columns=1)
    result = generate(model, settings)
    _, *strips = pictures_of(draw_board(board_take(model, result)))
    assert len(strips) == model.num_quantizers
    colours = matplotlib.colormaps["viridis"]
    for level, strip in enumerate(strips):
        for start, codes in zip(result.layout.starts, result.codes[..., level], strict=True):
            codes = codes.unflatten(0, model.grid)
            for column in range(model.grid[1]):
                moment = start + (column + 0.25) * result.layout.column_samples
                hidden = any(start < later <= moment for later in result.layout.starts)
                if hidden or moment > len(result.audio):
                    continue
                share = 100 * moment / len(result.audio)
                left, width, pixels = [p for p in strip if p[0] <= share < p[0] + p[1]][-1]
                shown = pixels[::-1, int((share - left) / width * pixels.shape[1])]
                expected = colours(codes[:, column].numpy() / int(result.codes.max()))
                assert np.abs(shown - expected).max() < 0.01


@pytest.mark.parametrize("samples", [1, 60, 128])
def test_the_levels_of_a_sound_shorter_than_a_window_are_known(model, samples):
    """A sound of at most half a window is in the middle of its first frame."""
    audio = np.full(samples, 0.5, np.float32)
    levels = decibels(audio, model.spectrogram)
    assert len(levels) == model.spectrogram.n_mels
    assert levels.max() == 0
    assert np.isfinite(levels).all()


def test_a_tone_is_at_its_time_and_frequency_in_the_picture(model):
    result = generate(model, GenerationConfig(duration=2, seed=3))
    time = np.arange(len(result.audio)) / model.sample_rate
    tone = np.sin(2 * np.pi * 1000 * time) * (np.abs(time - 1.5) < 0.1)
    take = board_take(model, replace(result, audio=tone.astype(np.float32)))
    page = draw_board(take)
    (left, width, pixels), *_ = pictures_of(page)[0]
    light = pixels[::-1, :, :3].sum(axis=2)
    row, column = np.unravel_index(light.argmax(), light.shape)
    seconds = (left + width * (column + 0.5) / light.shape[1]) / 100 * 2
    assert 1.4 < seconds < 1.6
    assert abs(row - model.spectrogram.band_at(1000)) <= 1.5
    facts = json.loads(unescape(re.search('data-facts="([^"]+)"', page)[1]))
    assert sum(edge <= 1000 for edge in facts["hertz"]) - 1 == row // STRIDE


def test_the_use_of_codes_is_a_share_of_each_level(model):
    state = model.vqvae.state_dict()
    for level, shares in enumerate(model.code_usage):
        counts = state[f"quantizer.rvq.layers.{level}._codebook.cluster_size"][0]
        assert shares.numpy() == pytest.approx((counts / counts.sum()).numpy())


@given(st.floats(0, 4000))
def test_a_frequency_is_found_again_from_its_band(hertz):
    from tests.helpers.models import SMALL

    assert SMALL.hertz_at(SMALL.band_at(hertz)) == pytest.approx(hertz, abs=1e-6)


def test_the_board_is_hidden_when_all_takes_were_removed(session):
    remove_take(1, session)
    assert show_board(session)[5].visible is False
    assert session.history.state.number == 1
