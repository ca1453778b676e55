"""Connects the list of takes with functions."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.results import TakePanel
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import (
    open_shown,
    remove_take,
    search,
    show_board,
    show_older,
    show_take,
    undo_remove,
)

SEND_BROWSER = "(_, ...rest) => [window.distillPrior.browser(), ...rest]"


def connect_list(maker: TakeMaker, session: gr.State, take: TakePanel, loaded: Any) -> Any:
    """Connect the list of takes with its functions.

    Args:
        maker: the maker of the takes.
        session: session of the browser.
        take: the components.
        loaded: event after which the scripts of the page can be called.

    Returns:
        The event after which the page has the takes of its browser.
    """

    def enter(browser: Any, session: Session, request: gr.Request) -> list[Any]:
        maker.enter(browser, session, request.session_hash)
        return show_take(None, session)

    def star(session: Session) -> list[Any]:
        maker.saver.star(session)
        return show_board(session)

    inputs, outputs = [take.takes, session], take.take_outputs
    browser = gr.Textbox(visible=False)
    entered = loaded.then(enter, [browser, session], outputs, js=SEND_BROWSER, **NO_PROGRESS)
    changes = [
        entered,
        take.takes.input(show_take, inputs, outputs, **NO_PROGRESS),
        take.remove.click(remove_take, inputs, outputs, **NO_PROGRESS),
        take.undo.click(undo_remove, session, outputs, **NO_PROGRESS),
    ]
    for change in changes:
        change.then(partial(open_shown, maker), session, outputs, **NO_PROGRESS)
    take.star.click(star, session, outputs, **NO_PROGRESS)
    take.search.change(search, [take.search, session], outputs, **NO_PROGRESS)
    take.older.click(show_older, session, outputs, **NO_PROGRESS)
    return entered
