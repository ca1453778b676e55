"""Connects the components for a take that goes on with functions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.controls import Bar, SettingsPanel
from distill_prior_gen.ui.play_on import begin, keep, more
from distill_prior_gen.ui.results import TakePanel
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import show_board, show_take

SCRIPT = "window.distillPrior.playOn"


def connect_play_on(
    maker: TakeMaker, session: gr.State, settings: SettingsPanel, take: TakePanel, bar: Bar
) -> None:
    """Connect *Play on* and *Stop*.

    The page asks for a piece whenever it has little sound left, so that nothing is made for a page
    that was closed.
    """

    def begin_playing(second: Any, *values_and_session: Any) -> dict[str, Any]:
        *values, session = values_and_session
        return begin(maker, values, second, session)

    def play_more(*values_and_session: Any) -> dict[str, Any]:
        *values, session = values_and_session
        return more(maker, values, session)

    def stop(samples: Any, session: Session) -> list[Any]:
        number = keep(maker, samples, session)
        return show_board(session) if number is None else show_take(number, session)

    panel, controls = take.playing, list(settings.controls.values())
    # Pieces wait for the take that is being made, but not for those that wait themselves.
    limits: dict[str, Any] = {"concurrency_id": "distill-prior-play", "preprocess": False}
    begun = panel.play_on.click(
        begin_playing,
        [panel.sent, *controls, session],
        panel.sound,
        js=f"(_, ...rest) => [{SCRIPT}.begin(), ...rest]",
        concurrency_limit=1,
        **limits,
        **NO_PROGRESS,
    )
    made = panel.more.click(play_more, [*controls, session], panel.sound, **limits, **NO_PROGRESS)
    begun.failure(None, js=f"() => {SCRIPT}.stop()")
    made.failure(None, js=f"() => {SCRIPT}.hear({{}})")
    for event in (begun, made):
        event.success(None, panel.sound, None, js=f"(sound) => {SCRIPT}.hear(sound)")
    panel.stop.click(
        stop,
        [panel.sent, session],
        take.take_outputs,
        js=f"(_, ...rest) => [{SCRIPT}.stop(), ...rest]",
        show_progress_on=bar.status,
        **limits | NO_PROGRESS | {"show_progress": "full"},
    )
    bar.cancel.click(None, js=f"() => {SCRIPT}.pressStop()")
