"""Connects the components of the board with functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from html import escape
from inspect import Parameter, Signature
from typing import Any

import gradio as gr

from distill_prior_gen.ui.controls import STATUS_ERROR, STATUS_IDLE, Bar, SettingsPanel
from distill_prior_gen.ui.results import TakePanel
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS
from distill_prior_gen.ui.take_editor import EditRequest, choose, edit
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import in_order, open_shown, show_alternatives, show_board

NO_PROGRESS: dict[str, Any] = {"show_progress": "hidden", "api_name": False}
"""Options of events that end at once and are no endpoints of the API."""

REQUEST = tuple(field.name for field in fields(EditRequest))

SEND_REGIONS = "(_, ...rest) => [window.distillPrior.board.start(), ...rest]"


def connect_board(
    maker: TakeMaker, session: gr.State, settings: SettingsPanel, take: TakePanel, bar: Bar
) -> list[Any]:
    """Connect the board with its functions, and return the events that *Cancel* ends."""
    panel, outputs = take.editing, take.take_outputs
    moves = {
        panel.undo_edit: lambda session: session.history.undo(),
        panel.redo_edit: lambda session: session.history.redo(),
        panel.switch: lambda session: session.history.switch(),
        panel.keep: maker.keep,
    }
    for button, move in moves.items():
        moved = button.click(_then_show(move), session, outputs, **NO_PROGRESS)
        moved.then(partial(open_shown, maker), session, outputs, **NO_PROGRESS)
    panel.alternatives.input(
        _then_show(choose), [panel.alternatives, session], outputs, preprocess=False, **NO_PROGRESS
    )
    panel.clear.click(None, js="() => window.distillPrior.board.clear()")
    edits = []
    for operation in ("redraw", "fill", "morph"):
        made = getattr(panel, operation).click(
            _editing(maker, operation),
            [*panel.values, *settings.controls.values(), session],
            [*outputs, bar.status],
            js=SEND_REGIONS,
            preprocess=False,  # Gradio's own messages do not name the control
            show_progress_on=bar.status,
            concurrency_id="distill-prior",
            concurrency_limit=1,
            api_name=f"{operation}_prior_take",
        )
        made.failure(show_error, session, bar.status, **NO_PROGRESS)
        edits.append(made)
    return edits


def name_parameters(function: Any, *names: str) -> None:
    """Give a function the parameters from which Gradio names those of its endpoint.

    A client may leave them out, even where a component has no value.
    """
    kind = Parameter.POSITIONAL_OR_KEYWORD
    progress = Parameter("progress", kind, default=gr.Progress())
    given = [Parameter(name, kind, default=None) for name in (*names, "session", "request")]
    function.__signature__ = Signature([*given, progress])
    function.__annotations__ = {"request": gr.Request}


def show_error(session: Session) -> str:
    """The error of the session, for the bar."""
    return STATUS_ERROR.format(escape(session.error))


def _then_show(move: Callable[..., None]) -> Callable[..., list[Any]]:
    def moved(*given: Any) -> list[Any]:
        move(*given)
        return show_board(given[-1])

    return moved


def _editing(maker: TakeMaker, operation: str) -> Any:
    """The function of an edit, which shows each alternative when it is made."""

    def run(*given: Any) -> Iterator[list[Any]]:
        *values, session, request, progress = given
        asked, settings = EditRequest(*values[: len(REQUEST)]), values[len(REQUEST) :]
        shown = False
        try:
            for step in edit(
                maker, operation, asked, settings, session, request.session_hash, progress
            ):
                yield [
                    *(in_order(show_alternatives(step)) if shown else show_board(session)),
                    STATUS_IDLE,
                ]
                shown = True
        except gr.Error as error:
            session.error = error.message
            error.visible = False  # because the bar shows it
            raise

    name_parameters(run, *REQUEST, *SETTINGS)
    return run
