"""Saves the takes of the page to the store, while the page goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.store.takes import FOLDER, STARRED, TakeStore
from distill_prior_gen.ui.page_messages import explain, is_served_locally, refusal
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.take import Take


class TakeSaver:
    """Saves the takes of one tab.

    Args:
        context: the context of the tab, with the output folder and the size of the store.
    """

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.store = TakeStore(context.output_dir / FOLDER, context.takes_bytes)
        # One thread, so that takes are saved in their order. The program waits for it at its end.
        self.worker = ThreadPoolExecutor(1, "saving takes")
        self.running: WeakKeyDictionary[Take, Future[Any]] = WeakKeyDictionary()

    def enter(self, browser: Any, session: Session) -> None:
        """Give a session the takes of its browser, if takes are saved.

        Args:
            browser: identifier that the page has sent, see `TakeStore.part`. It counts only where
                the page can be reached from other machines.
            session: session of the browser.
        """
        session.entered = True
        if not self.context.takes_bytes:
            return
        if is_served_locally():
            session.part = self.store.part()
        elif isinstance(browser, str):
            try:
                session.part = self.store.part(browser)
            except ValueError as error:
                raise refusal(str(error)) from error

    def save(self, take: Take, session: Session) -> None:
        """Begin to save a take, if takes of this session are saved."""
        if session.part:
            self.running[take] = self.worker.submit(self._save, take, session.part.save)

    def _save(self, take: Take, save: Callable[..., object]) -> None:
        from distill_prior_gen.ui.board import draw_small

        take.picture = draw_small(take)
        save(take.number, take.result, take.model, take.picture)

    def wait(self, session: Session) -> None:
        """Wait until the takes of a session are saved, and warn of those that could not be."""
        for take in session.all_takes():
            if future := self.running.pop(take, None):
                try:
                    future.result()
                except Exception as error:  # whatever it was, the take is still in memory
                    reason = explain(error, self.context).message
                    gr.Warning(f"Take {take.number} was not saved: {reason}")

    def star(self, session: Session) -> None:
        """Star the take on the board, or take its star away.

        Raises:
            gr.Error: if it is not saved, or there is no room for more.
        """
        take = session.history.state
        if take is None or session.part is None or not session.is_kept(take):
            raise refusal("Only takes that are saved can be starred.")
        try:
            session.part.mark(take.number, STARRED, not session.part.is_starred(take.number))
        except (OSError, ValueError) as error:
            raise explain(error, self.context) from error
