"""Lets the take on the board go on while it plays, and keeps what was heard."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from distill_prior_gen.config import no_progress
from distill_prior_gen.ui.page_messages import explain
from distill_prior_gen.ui.playing import Playing
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take_editor import read_controls
from distill_prior_gen.ui.take_maker import TakeMaker, new_take
from distill_prior_gen.ui.take_opener import open_in_memory
from distill_prior_gen.validation import check_number

FIRST_S = 2
"""Sound that the page gets at first, at least."""


def begin(maker: TakeMaker, values: list[Any], second: Any, session: Session) -> dict[str, Any]:
    """Let the take on the board go on.

    Args:
        maker: the maker of the takes, of which this waits for its turn.
        values: values of the controls of `SETTINGS`, in that order.
        second: place of the player in the take.
        session: session of the browser.

    Returns:
        Sound for the page, as from `more`, and its sample rate (``rate``).

    Raises:
        gr.Error: if there is no take, or it cannot go on.
    """
    take = open_in_memory(maker, None, session)
    try:
        place = check_number("second", second, 0.0, math.inf)
        controls = read_controls(values)
        found = maker.models.get_model(take.model_key, session)
        with maker.turn(found.path, no_progress) as model:
            if model.sha256 != take.model.sha256:
                raise ValueError(f"{take.model.name} has changed since the take was made")
            playing = Playing(model, take, controls)
            playing.heard_from = min(round(place * take.result.sample_rate), len(take.result.audio))
            needed = playing.heard_from + FIRST_S * take.result.sample_rate
            while len(playing.sound) < needed:
                playing.draw()
    except Exception as error:  # a plugin's sampler or vocoder may raise anything
        raise explain(error, maker.context) from error
    session.playing = playing
    sound = playing.sound[playing.heard_from :]
    return {"rate": take.result.sample_rate, "sound": _to_text(sound)}


def more(maker: TakeMaker, values: list[Any], session: Session) -> dict[str, Any]:
    """The next piece of the take that goes on.

    Args:
        maker: the maker of the takes, of which this waits for its turn.
        values: values of the controls of `SETTINGS`, in that order, which act on what was not
            made yet.
        session: session of the browser.

    Returns:
        16-bit little-endian samples in Base64 (``sound``), and what is wrong with the settings
        (``note``). Without sound, the take has ended.

    Raises:
        gr.Error: if the piece cannot be made.
    """
    playing = session.playing
    if playing is None or playing.is_over:
        return {}
    note = ""
    try:
        with maker.working:
            try:
                playing.follow(read_controls(values))
            except ValueError as error:
                note = explain(error, maker.context).message
            return {"sound": _to_text(playing.draw()), "note": note}
    except Exception as error:
        raise explain(error, maker.context) from error


def keep(maker: TakeMaker, samples: Any, session: Session) -> int | None:
    """End the take that goes on, and keep it from its beginning to what was heard last.

    Args:
        maker: the maker of the takes, of which this waits for its turn.
        samples: how much the page has played.
        session: session of the browser.

    Returns:
        The number of the new take, or None if nothing was played.

    Raises:
        gr.Error: if `samples` is no number, or the take cannot be kept.
    """
    playing, session.playing = session.playing, None
    if playing is None or samples is None:
        return None
    name = f"{playing.take.title} played on"
    try:
        count = int(check_number("samples", samples, 0, math.inf))
        with maker.working:
            result = playing.heard(count, name)
    except Exception as error:
        session.playing = playing
        raise explain(error, maker.context) from error
    number = session.new_number()
    take = new_take(number, result, playing.model, playing.take.model_key, name)
    with maker.storing:
        session.add(take)
        maker.limit_memory()
    maker.saver.save(take, session)
    maker.saver.wait(session)
    return number


def keep_of_closed_page(maker: TakeMaker, stop_key: str | None) -> None:
    """Keep the take that went on in a page that was closed, with all sound that the page got.

    Args:
        maker: the maker of the takes, of which this waits for its turn.
        stop_key: key of the page, see `TakeMaker`.

    Raises:
        gr.Error: if the take cannot be kept.
    """
    session = maker.sessions.get(stop_key or "")
    if session and session.part and session.playing:
        keep(maker, len(session.playing.sound), session)


def _to_text(sound: np.ndarray) -> str:
    return base64.b64encode((sound * 32767).round().astype("<i2").tobytes()).decode()
