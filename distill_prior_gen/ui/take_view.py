"""What the page shows of a session's takes, and how it changes."""

from __future__ import annotations

from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from distill_prior_gen.config import GENERATION_LIMITS
from distill_prior_gen.plugins import samplers
from distill_prior_gen.sampling.endless import can_go_on
from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.store.words import matches, search_text
from distill_prior_gen.streaming import what_needs_an_end
from distill_prior_gen.ui.board_controls import level_name
from distill_prior_gen.ui.history import Step
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.page_messages import is_served_locally, refusal
from distill_prior_gen.ui.playing import LONGEST_START_S
from distill_prior_gen.ui.results import SHOWN
from distill_prior_gen.ui.session import LIST_STEP, Session
from distill_prior_gen.ui.settings import to_page
from distill_prior_gen.ui.take import Listed, Take, describe, label_takes
from distill_prior_gen.ui.take_export import copy_for_browser
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_opener import open_in_memory

MAX_QUERY = 200
"""Characters of a search."""


def show_take(number: Any, session: Session) -> list[Any]:
    """Put a take onto the board, and show it.

    Args:
        number: number of the take. If there is no such take, the last one is shown.
        session: session of the browser.
    """
    take = session.find(number) or next(session.listed(), None)
    if take is not None:
        session.show(take)
    return show_board(session)


def show_board(session: Session) -> list[Any]:
    """Values for `TakePanel.take_outputs`: the take on the board, and the list of takes.

    Args:
        session: session of the browser.
    """
    take, history = session.history.state, session.history
    undo_label = f"Bring back take {session.removed[-1].number}" if session.removed else ""
    kept = take is not None and session.is_kept(take)
    shown = show_list(session) | {
        "undo": gr.Button(undo_label, visible=bool(undo_label)),
        "remove": gr.Button(interactive=kept),
        "undo_edit": gr.Button(interactive=history.can_move(-1)),
        "redo_edit": gr.Button(interactive=history.can_move(1)),
        "message": "",
        "files": gr.File(None, visible=False),
    }
    all_removed = next(session.listed(), None) is None
    if take is None or (take.number and all_removed):
        hidden = {"player": None, "body": gr.Column(visible=False), "repeat": False}
        return in_order(shown | hidden)
    step = history.step
    assert step
    return in_order(
        shown
        | {
            "player": _samples(take),
            "summary": describe(take),
            "command": take.command(full_paths=is_served_locally()),
            "longer": _longer_button(take),
            "play_on": _play_on_button(take),
            "body": gr.Column(visible=True),
            "repeat": take.config.loop,
            "keep": gr.Button(interactive=not kept),
        }
        | _draw(take)
        | show_alternatives(step)
    )


def _samples(take: Listed) -> tuple[int, np.ndarray]:
    """Sample rate in Hz, and samples for the player.

    Raises:
        gr.Error: if they are in the store alone, and cannot be read.
    """
    if isinstance(take, Take):
        # Gradio would convert floats too, but would scale them to full level.
        channels = take.result.channels
        scaled = channels * (32767 / max(1.0, np.abs(channels).max()))
        return take.result.sample_rate, scaled.astype("int16")
    try:
        return take.read_sound()
    except OSError as error:
        raise refusal(f"Take {take.number} is no longer in the store.") from error


def _draw(take: Listed) -> dict[str, Any]:
    """Values of the board and of the levels that can be edited."""
    from distill_prior_gen.ui.board import draw_board

    if isinstance(take, SavedTake):
        return {"board": "<p>The picture is drawn in a moment.</p>"}
    levels = [(level_name(level), level) for level in range(take.result.codes.shape[-1])]
    return {"board": draw_board(take), "levels": gr.CheckboxGroup(levels)}


def show_list(session: Session) -> dict[str, Any]:
    """Values of the list of takes, and of what belongs to it."""
    from distill_prior_gen.ui.board import draw_list

    files = session.part.listed() if session.part else {}
    starred = {number for number, take in files.items() if take.starred}
    found = (
        take
        for take in session.listed()
        if matches(session.query, search_text(take, take.number in starred))
    )
    takes = list(islice(found, session.list_length + 1))
    older, takes = len(takes) > session.list_length, takes[: session.list_length]
    labels = label_takes(takes, starred)
    choices = [(label, number) for number, label in labels.items()]
    shown = session.history.state
    number = shown.number if shown and session.is_kept(shown) else None
    return {
        "takes": gr.Radio(choices, value=number if number in labels else None),
        "other": gr.Dropdown(choices),
        "pictures": draw_list([_picture(take, session) for take in takes]),
        "older": gr.Button(visible=older),
        "star": gr.Button(
            "Unstar" if number in starred else "Star",
            visible=session.part is not None,
            interactive=number is not None,
        ),
    }


def _picture(take: Listed, session: Session) -> bytes:
    from distill_prior_gen.ui.board import draw_small

    if isinstance(take, Take):
        take.picture = take.picture or draw_small(take)
        return take.picture
    assert session.part
    return session.part.picture(take.number)


def search(query: Any, session: Session) -> list[Any]:
    """Show the takes that match a query; see `matches`."""
    session.query, session.list_length = str(query or "")[:MAX_QUERY], LIST_STEP
    return in_order(show_list(session))


def show_older(session: Session) -> list[Any]:
    """Show more of the list."""
    session.list_length += LIST_STEP
    return in_order(show_list(session))


def open_shown(maker: TakeMaker, session: Session) -> list[Any]:
    """Bring the take on the board into memory, and show what can then be shown.

    The player goes on.
    """
    take = session.history.state
    if not isinstance(take, SavedTake):
        return in_order({})
    try:
        open_in_memory(maker, None, session)
    except gr.Error as error:
        return in_order({"board": f"<p>{escape(error.message)}</p>"})
    return in_order(dict(zip(SHOWN, show_board(session), strict=True)) | {"player": gr.skip()})


def show_alternatives(step: Step[Listed]) -> dict[str, Any]:
    """Values of the choice of alternatives, and of their small pictures."""
    from distill_prior_gen.ui.board import draw_thumbnails

    several = len(step.options) > 1
    names = ["Before", *map(str, range(1, len(step.options)))] if several else []
    choices = [(name, number) for number, name in enumerate(names)]
    return {
        "alternatives": gr.Radio(choices, value=step.chosen if several else None, visible=several),
        "thumbnails": draw_thumbnails(step.options),
    }


def page_values(
    number: Any, session: Session, models: ModelList, longer: bool = False
) -> list[Any]:
    """Values for the list of models and the controls of `SETTINGS` that make a take again.

    The page is warned of a model or a sound that no longer exists.

    Args:
        number: number of the take.
        session: session of the browser.
        models: the models of the tab.
        longer: whether the new take shall be twice as long.

    Raises:
        gr.Error: if there is no such take, or if `longer` and the model or the sound no longer
            exists.
    """
    take = session.get_take(number)
    page = to_page(take.config)
    missing = []
    if page["prompt"] and not Path(page["prompt"]).is_file():
        missing.append(f"{Path(page['prompt']).name} is no longer there.")
        page["prompt"] = None
    elif page["prompt"] and session.part and session.part.folder in Path(page["prompt"]).parents:
        page["prompt"] = copy_for_browser(Path(page["prompt"]))  # the page may not read the store
    if isinstance(take, Take):
        key = take.model_key if models.find_model(take.model_key, session) else None
    else:
        key = models.find_key(take, session)
    if key is None:
        missing.append(f"{take.model_name} is no longer in the list of models.")
    if longer and missing:
        raise refusal(f"A longer take cannot be made: {' '.join(missing)}")
    for text in missing:
        gr.Warning(text)
    if longer:
        page["duration"] = _longer_duration(take.duration)
    return [gr.skip() if key is None else key, *page.values()]


def remove_take(number: Any, session: Session) -> list[Any]:
    """Remove a take, and show the last of the others.

    Raises:
        gr.Error: if there is no such take in the list.
    """
    take = session.get_take(number)
    if not session.is_kept(take):
        raise refusal("This take is not in the list; Undo goes back to the one before.")
    session.remove(take)
    return show_take(None, session)


def undo_remove(session: Session) -> list[Any]:
    """Bring back the take that was removed last, and show it."""
    return show_take(session.bring_back(), session)


def in_order(values: dict[str, Any]) -> list[Any]:
    """Values for `TakePanel.take_outputs`. Components without a value stay as they are."""
    return [values.get(name, gr.skip()) for name in SHOWN]


def _longer_button(take: Listed) -> gr.Button:
    duration = _longer_duration(take.duration)
    if duration > take.duration and take.config.vary is None and not take.was_changed:
        return gr.Button(f"Same seed, longer ({duration:g} s)", interactive=True)
    return gr.Button("Same seed, longer", interactive=False)


def _play_on_button(take: Listed) -> gr.Button:
    config, reason = take.config, ""
    if take.duration > LONGEST_START_S:
        reason = f"not after {LONGEST_START_S:g} s"
    elif setting := what_needs_an_end(config):
        reason = f"not with {setting.replace('_', ' ')}"
    elif not can_go_on(config.sampler, samplers().get(config.sampler)):
        reason = f"not with the sampler {config.sampler}"
    return gr.Button(f"Play on: {reason}" if reason else "Play on", interactive=not reason)


def _longer_duration(duration: float) -> float:
    return min(2 * duration, GENERATION_LIMITS["duration"][1])
