"""What the page shows of a session's takes, and how it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from distill_prior_gen.config import GENERATION_LIMITS
from distill_prior_gen.ui.board_controls import level_name
from distill_prior_gen.ui.history import Step
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.page_messages import is_served_locally, refusal
from distill_prior_gen.ui.results import SHOWN
from distill_prior_gen.ui.session import Session, Take, label_takes
from distill_prior_gen.ui.settings import to_page


def show_take(number: Any, session: Session) -> list[Any]:
    """Put a take onto the board, and show it.

    Args:
        number: number of the take. If there is no such take, the last one is shown.
        session: session of the browser.
    """
    if number not in session.takes:
        number = next(reversed(session.takes), None)
    if number is not None:
        session.show(session.takes[number])
    return show_board(session)


def show_board(session: Session) -> list[Any]:
    """Values for `TakePanel.take_outputs`: the take on the board, and the list of takes.

    Args:
        session: session of the browser.
    """
    from distill_prior_gen.ui.board import draw_board

    take, takes, history = session.history.state, session.takes, session.history
    labels = label_takes(takes.values())
    choices = [(labels[each], each) for each in reversed(takes)]
    undo_label = f"Bring back take {session.removed[-1].number}" if session.removed else ""
    kept = take is not None and session.is_kept(take)
    shown = {
        "takes": gr.Radio(choices, value=take.number if take and kept else None),
        "other": gr.Dropdown(choices),
        "undo": gr.Button(undo_label, visible=bool(undo_label)),
        "remove": gr.Button(interactive=kept),
        "undo_edit": gr.Button(interactive=history.can_move(-1)),
        "redo_edit": gr.Button(interactive=history.can_move(1)),
        "message": "",
        "files": gr.File(None, visible=False),
    }
    if take is None or (not takes and take.number):  # all were removed
        hidden = {"player": None, "body": gr.Column(visible=False), "repeat": False}
        return in_order(shown | hidden)
    # Gradio would convert floats too, but would scale them to full level.
    channels = take.result.channels
    samples = (channels * (32767 / max(1.0, np.abs(channels).max()))).astype("int16")
    step = history.step
    assert step
    levels = [(level_name(level), level) for level in range(take.result.codes.shape[-1])]
    return in_order(
        shown
        | {
            "player": (take.result.sample_rate, samples),
            "summary": take.summary(),
            "command": take.command(full_paths=is_served_locally()),
            "longer": _longer_button(take),
            "body": gr.Column(visible=True),
            "repeat": take.result.config.loop,
            "board": draw_board(take),
            "levels": gr.CheckboxGroup(levels),
            "keep": gr.Button(interactive=not kept),
        }
        | show_alternatives(step)
    )


def show_alternatives(step: Step[Take]) -> dict[str, Any]:
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
    page = to_page(take.result.config)
    missing = []
    if page["prompt"] and not Path(page["prompt"]).is_file():
        missing.append(f"{Path(page['prompt']).name} is no longer there.")
        page["prompt"] = None
    is_listed = models.find_model(take.model_key, session) is not None
    if not is_listed:
        missing.append(f"{take.model.name} is no longer in the list of models.")
    if longer and missing:
        raise refusal(f"A longer take cannot be made: {' '.join(missing)}")
    for text in missing:
        gr.Warning(text)
    if longer:
        page["duration"] = _longer_duration(take.result.duration)
    return [take.model_key if is_listed else gr.skip(), *page.values()]


def remove_take(number: Any, session: Session) -> list[Any]:
    """Remove a take, and show the last of the others.

    Raises:
        gr.Error: if there is no such take in the list.
    """
    take = session.get_take(number)
    if not session.is_kept(take):
        raise refusal("This take is not in the list; Undo goes back to the one before.")
    session.remove(take.number)
    return show_take(None, session)


def undo_remove(session: Session) -> list[Any]:
    """Bring back the take that was removed last, and show it."""
    return show_take(session.bring_back(), session)


def in_order(values: dict[str, Any]) -> list[Any]:
    """Values for `TakePanel.take_outputs`. Components without a value stay as they are."""
    return [values.get(name, gr.skip()) for name in SHOWN]


def _longer_button(take: Take) -> gr.Button:
    duration = _longer_duration(take.result.duration)
    changed = take.result.config.vary is not None or take.result.edits
    if duration > take.result.duration and not changed:
        return gr.Button(f"Same seed, longer ({duration:g} s)", interactive=True)
    return gr.Button("Same seed, longer", interactive=False)


def _longer_duration(duration: float) -> float:
    return min(2 * duration, GENERATION_LIMITS["duration"][1])
