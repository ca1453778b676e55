"""A take that goes on, as the page asks for it."""

import base64
import threading
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

from distill_prior_gen import generate, load_model
from distill_prior_gen.editing.code_maps import code_map
from distill_prior_gen.export.opening import open_take
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.ui import playing
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.play_on import begin, keep, keep_of_closed_page, more
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import show_board, show_take
from tests.helpers.models import add_timeline, write_model
from tests.ui.test_ui import page, silently

RATE = 8_000


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play_on")
    add_timeline(write_model(folder / "steered.distill"))
    return folder


@pytest.fixture
def maker(models, tmp_path):
    context = TabContext((models,), tmp_path, device="cpu", takes_bytes=10**9)
    return TakeMaker(ModelList(context))


@pytest.fixture
def make(maker):
    """Makes a take and puts it onto the board of a session that is saved."""

    def make(**values):
        session = Session()
        maker.enter(None, session, "me")
        settings = page(**{"seed": "3", "duration": 3, **values})
        maker.make_takes("steered.distill", settings, 1, session, "me", silently)
        maker.saver.wait(session)
        show_take(session.last_number, session)
        return session

    return make


def samples(piece):
    return np.frombuffer(base64.b64decode(piece["sound"]), "<i2")


def test_the_take_that_is_kept_is_what_the_page_was_sent(maker, make, models):
    """And is made again from its sidecar, sample by sample."""
    session = make()
    take = session.takes[1].result
    first = begin(maker, page(), 0.0, session)
    assert first["rate"] == RATE
    sent = np.concatenate(
        [samples(first), *(samples(more(maker, page(), session)) for _ in range(3))]
    )
    played = len(sent) - 1_000
    assert keep(maker, played, session) == 2
    kept = session.takes[2].result
    fade = RATE // 100
    expected = sent[:played] / 32767
    assert len(kept.audio) == played
    assert np.abs(kept.audio - expected)[:-fade].max() < 0.6 / 32767
    assert np.abs(kept.audio[-1]) < 0.01 * np.abs(kept.audio).max()
    assert np.corrcoef(kept.audio[: RATE * 2], take.audio[: RATE * 2])[0, 1] > 0.999

    assert session.part
    saved = session.part.read(2)
    assert isinstance(saved, SavedTake)
    assert saved.origin == "take 1 played on"
    again = open_take(load_model(models / "steered.distill", "cpu"), saved.sidecar)
    assert np.array_equal(again.audio, kept.audio)
    assert again.codes.equal(kept.codes)
    assert session.playing is None
    assert keep(maker, 5, session) is None


def test_it_begins_at_the_place_of_the_player(maker, make):
    session = make()
    take = session.takes[1].result.audio
    sent = samples(begin(maker, page(), 1.5, session)) / 32767
    expected = take[12_000:20_000]
    assert np.corrcoef(sent[:8_000], expected)[0, 1] > 0.999
    assert keep(maker, 100, session) == 2
    assert len(session.takes[2].result.audio) == 12_100


def test_at_its_end_it_begins_with_what_follows(maker, make):
    session = make()
    assert len(samples(begin(maker, page(), 99.0, session))) > 0
    assert keep(maker, 4_000, session) == 2
    assert session.takes[2].result.duration == 3.5


def test_controls_that_are_moved_count_and_the_others_are_the_takes(maker, make):
    session = make(temperature=0.7, top_p=0.6)
    before = page(temperature=1.3)
    begin(maker, before, 0.0, session)
    sound = session.playing
    more(maker, before, session)
    assert (sound.config.temperature, sound.config.top_p) == (0.7, 0.6)
    more(maker, page(temperature=1.3, top_p=0.2, steer=["bright"], bright=0.9), session)
    assert (sound.config.temperature, sound.config.top_p) == (0.7, 0.2)
    assert sound.config.bright == 0.9
    keep(maker, 20_000, session)
    assert session.takes[2].config.top_p == 0.2


def test_what_is_wrong_with_a_control_is_said_and_it_goes_on(maker, make):
    session = make()
    begin(maker, page(), 0.0, session)
    answer = more(maker, page(top_p=0.3, temperature_by_level="1, 1, 1"), session)
    assert "temperature has 3 values, but the model has 2 levels" in answer["note"]
    assert len(samples(answer)) > RATE
    answer = more(maker, page(courses="bright 0.1:0.9"), session)
    assert "the course of bright does not go with sound without end" in answer["note"]
    assert not more(maker, page(top_p=0.3), session)["note"]
    assert session.playing.config.top_p == 0.3


def test_it_ends_at_its_greatest_length(maker, make, monkeypatch):
    monkeypatch.setattr(playing, "LONGEST_S", 6)
    session = make()
    length = len(samples(begin(maker, page(), 0.0, session)))
    while answer := more(maker, page(), session):
        length += len(samples(answer))
    assert 4 * RATE < length <= 6 * RATE
    assert keep(maker, length, session) == 2


def test_a_take_that_is_too_long_cannot_go_on(maker, make, monkeypatch):
    monkeypatch.setattr("distill_prior_gen.ui.playing.LONGEST_START_S", 2.0)
    monkeypatch.setattr("distill_prior_gen.ui.take_view.LONGEST_START_S", 2.0)
    session = make()
    assert show_board(session)[-1].value == "Play on: not after 2 s"
    with pytest.raises(gr.Error, match="takes of more than 2 s cannot go on"):
        begin(maker, page(), 0.0, session)


def test_others_take_their_turn_between_the_pieces(maker, make):
    session = make()
    begin(maker, page(), 0.0, session)
    assert not maker.working.locked()
    with maker.working:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(more(maker, page(), session)))
        thread.start()
        thread.join(0.3)
        assert not answers
    thread.join()
    assert len(samples(answers[0])) > RATE


def test_a_page_that_is_closed_ends_it(maker, make):
    session = make()
    begin(maker, page(), 0.0, session)
    maker.leave("me")
    assert more(maker, page(), session) == {}


def test_what_a_closed_page_had_got_is_kept(maker, make):
    session = make()
    sent = len(samples(begin(maker, page(), 1.0, session)))
    sent += len(samples(more(maker, page(), session)))
    keep_of_closed_page(maker, "you")
    keep_of_closed_page(maker, "me")
    maker.leave("me")
    assert session.part
    saved = session.part.read(2)
    assert isinstance(saved, SavedTake)
    assert (saved.origin, saved.duration) == ("take 1 played on", 1 + sent / RATE)
    keep_of_closed_page(maker, "me")
    assert session.part.read(3) is None


def test_a_played_on_take_has_the_codes_that_were_drawn_and_goes_on_again(maker, make, models):
    session = make()
    model = load_model(models / "steered.distill", "cpu")
    begin(maker, page(), 0.0, session)
    for _ in range(3):
        more(maker, page(), session)
    assert keep(maker, 7 * RATE, session) == 2
    kept = session.takes[2].result
    longer = generate(model, replace(session.takes[1].config, duration=9))
    _, codes = code_map(model, kept)
    assert codes.equal(code_map(model, longer)[1][:, : codes.shape[1]])

    show_take(2, session)
    begin(maker, page(), 7.0, session)
    more(maker, page(), session)
    assert keep(maker, 2 * RATE, session) == 3
    again = session.takes[3].result
    assert again.duration == 9
    begins = again.audio[: 6 * RATE]
    assert np.allclose(begins, kept.audio[: 6 * RATE] * again.gain / kept.gain, atol=1e-6)
    assert session.part
    opened = open_take(model, session.part.read(3).sidecar)
    assert np.array_equal(opened.audio, again.audio)
    assert opened.codes.equal(again.codes)
    assert opened.gain == again.gain


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({}, "Play on"),
        ({"loop": True}, "Play on: not with loop"),
        ({"width": 0.5}, "Play on: not with width"),
        ({"temperature_end": "0.5"}, "Play on: not with temperature end"),
        ({"sampler": "independent"}, "Play on: not with the sampler independent"),
        ({"courses": "bright 0.1:0.9"}, "Play on: not with the course of bright"),
    ],
)
def test_the_button_says_why_a_take_cannot_go_on(maker, make, values, label):
    session = make(**values)
    button = show_board(session)[-1]
    assert (button.value, button.interactive) == (label, label == "Play on")
    if values:
        with pytest.raises(gr.Error):
            begin(maker, page(), 0.0, session)


@pytest.mark.parametrize("place", [None, "1", -1, float("nan"), [], True])
def test_hostile_places_are_refused(maker, make, place):
    session = make()
    with pytest.raises(gr.Error):
        begin(maker, page(), place, session)
    begin(maker, page(), 0.0, session)
    if place is not None:
        with pytest.raises(gr.Error):
            keep(maker, place, session)
    assert keep(maker, 10, session) == 2


def test_a_take_that_was_kept_is_made_again_by_its_sidecar_alone(maker, make):
    session = make()
    begin(maker, page(), 0.0, session)
    keep(maker, RATE, session)
    assert session.takes[2].command().startswith("# Download or export")
