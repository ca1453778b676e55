"""What the page shows of a session's takes, and how it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from distill_prior_gen.config import GENERATION_LIMITS
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.page_messages import is_served_locally, refusal
from distill_prior_gen.ui.session import Session, label_takes
from distill_prior_gen.ui.settings import to_page


def show_take(number: int | None, session: Session) -> list[Any]:
    """Values for `TakePanel.take_outputs`: a take and the list of takes.

    Args:
        number: number of the take. If there is no such take, the last one is shown.
        session: session of the browser.
    """
    takes = session.takes
    if number not in takes:
        number = next(reversed(takes), None)
    labels = label_takes(takes.values())
    radio = gr.Radio([(labels[each], each) for each in reversed(takes)], value=number)
    undo_label = f"Bring back take {session.removed[-1].number}" if session.removed else ""
    undo = gr.Button(undo_label, visible=bool(undo_label))
    if number is None:
        return [None, "", "", gr.skip(), radio, gr.Column(visible=False), undo, False]
    take = takes[number]
    # Gradio would convert floats too, but would scale them to full level.
    samples = (take.result.audio * 32767).astype("int16")
    duration = _longer_duration(take.result.duration)
    varied = take.result.config.vary is not None
    can_be_longer = duration > take.result.duration and not varied
    label = f"Same seed, longer ({duration:g} s)" if can_be_longer else "Same seed, longer"
    return [
        (take.result.sample_rate, samples),
        take.summary(),
        take.command(full_paths=is_served_locally()),
        gr.Button(label, interactive=can_be_longer),
        radio,
        gr.Column(visible=True),
        undo,
        take.result.config.loop,
    ]


def show_details(
    number: int | None, screen: dict[str, bool], session: Session
) -> tuple[np.ndarray | None, str, gr.File]:
    """Values for `TakePanel.detail_outputs`: the picture of a take, and no export yet.

    Args:
        number: number of the take.
        screen: whether the browser's window is `narrow` and the page `dark`.
        session: session of the browser.
    """
    from distill_prior_gen.ui.pictures import plot_take, to_pixels

    picture = None
    if take := session.takes.get(number or 0):
        looks = screen["narrow"], screen["dark"]
        picture = to_pixels(plot_take(take.result, take.spectrogram, take.rows, *looks))
    return picture, "", gr.File(None, visible=False)


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
    """Remove a take, and show the last of the others."""
    session.remove(session.get_take(number).number)
    return show_take(None, session)


def undo_remove(session: Session) -> list[Any]:
    """Bring back the take that was removed last, and show it."""
    return show_take(session.bring_back(), session)


def _longer_duration(duration: float) -> float:
    return min(2 * duration, GENERATION_LIMITS["duration"][1])
