"""Makes takes for the page, one call after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from reprlib import repr as shortened
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import gradio as gr
import torch

from distill_prior_gen.config import Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.ui.controls import MAX_TAKES_PER_CLICK
from distill_prior_gen.ui.history import History
from distill_prior_gen.ui.library import ModelEntry, load_cached_model
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.page_messages import explain, refusal
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS, to_config
from distill_prior_gen.ui.take import Take
from distill_prior_gen.ui.take_saver import TakeSaver

MAX_MEMORY_BYTES = 256 * 2**20
"""Memory for the takes of all sessions. The oldest takes are dropped first."""

MAX_WAITING_CALLS = 8
"""Calls that may run or wait at once if they bypass Gradio's queue."""

REPORT_S = 0.1
"""Seconds between two updates of the progress bar."""

_makers: WeakSet[TakeMaker] = WeakSet()


class _CancelledError(Exception):
    """Raised in the work after the user has cancelled it."""


@dataclass(frozen=True)
class _Call:
    """A call of the page: the model, whose page it is, and its progress."""

    model: ModelEntry
    owner: str
    report: Progress


class TakeMaker:
    """Makes the takes of one tab and adds them to the sessions of the browsers.

    A call is known by its stop key, which is Gradio's hash of the browser session.

    Args:
        models: the models of the tab.
    """

    def __init__(self, models: ModelList) -> None:
        self.models = models
        self.context = models.context
        self.saver = TakeSaver(models.context)
        self.working = threading.Lock()
        self.waiting = threading.BoundedSemaphore(MAX_WAITING_CALLS)
        self.storing = threading.Lock()
        self.stops: dict[str | None, threading.Event] = {}
        self.sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()
        _makers.add(self)

    def make_takes(
        self,
        key: Any,
        values: list[Any],
        count: Any,
        session: Session,
        stop_key: str | None,
        progress: Any,
    ) -> None:
        """Make takes, and add each to the session when it is finished.

        Args:
            key: identifier of the model.
            values: values of the controls of `SETTINGS`, in that order.
            count: number of takes.
            session: session of the browser.
            stop_key: key with which `stop` and `leave` end the call.
            progress: a function like `gr.Progress`.

        Raises:
            gr.Error: if a value is wrong, or a take cannot be made.
        """
        from distill_prior_gen.generation import generate_takes

        page = dict(zip(SETTINGS, values, strict=True))
        if isinstance(page["prompt"], dict):  # a file as Gradio describes it
            page["prompt"] = page["prompt"].get("path")
        prompt = page["prompt"] if isinstance(page["prompt"], str) else None
        with self._call(key, session, stop_key, progress, prompt) as call:
            config = to_config(page)
            get_registered("sampler", config.sampler, samplers())
            get_registered("vocoder", config.vocoder, vocoders())
            if count not in range(1, MAX_TAKES_PER_CLICK + 1):
                raise ValueError(
                    f"takes per click (count) must be from 1 to {MAX_TAKES_PER_CLICK}, not "
                    f"{shortened(count)}"
                )
            with self.turn(call.model.path, call.report) as model:
                for result in generate_takes(model, config, int(count), call.report):
                    take = new_take(session.new_number(), result, model, key)
                    self._store(call, partial(session.add, take))
                    self.saver.save(take, session)

    def edit(
        self,
        take: Take,
        change: Callable[[PriorModel, Progress], GenerationResult],
        add: Callable[[Take], None],
        session: Session,
        stop_key: str | None,
        progress: Any,
    ) -> bool:
        """Change a take.

        Args:
            take: the take.
            change: makes the new result.
            add: called with the new take, unless the page has been closed.
            session: session of the browser.
            stop_key: key with which `stop` and `leave` end the call.
            progress: a function like `gr.Progress`.

        Returns:
            Whether the work was done rather than cancelled.

        Raises:
            gr.Error: if a value is wrong, or the take cannot be changed.
        """
        with self._call(take.model_key, session, stop_key, progress) as call:
            with self.turn(call.model.path, call.report) as model:
                if model.sha256 != take.model.sha256:
                    raise ValueError(f"{take.model.name} has changed since the take was made")
                result = _without_mel(change(model, call.report))
            edited = replace(take, number=0, result=result, made_at=time.monotonic(), picture=b"")
            self._store(call, partial(add, edited))
            return True
        return False

    def keep(self, session: Session) -> None:
        """Add the take on the board to the list, and save it."""
        if take := session.keep():
            self.saver.save(take, session)
            self.saver.wait(session)

    def enter(self, browser: Any, session: Session, stop_key: str | None) -> None:
        """Give a page that was opened the takes of its browser; see `TakeSaver.enter`."""
        self.saver.enter(browser, session)
        self.sessions[stop_key or str(id(session))] = session

    @contextmanager
    def _call(
        self,
        key: Any,
        session: Session,
        stop_key: str | None,
        progress: Any,
        prompt: str | None = None,
    ) -> Iterator[_Call]:
        """A call, which may be stopped, and whose errors are shown on the page."""
        model = self.models.get_model(key, session)
        if model.reason:
            raise refusal(model.reason)
        if not self.waiting.acquire(blocking=False):
            raise refusal("Too many takes are being made at once; try again later.")
        owner = stop_key or str(id(session))
        self.sessions[owner] = session
        stop = self.stops[stop_key] = threading.Event()
        try:
            yield _Call(model, owner, _reporter(progress, stop))
        except _CancelledError:
            gr.Info("Cancelled.")
        except Exception as error:  # a plugin's sampler or vocoder may raise anything
            raise explain(error, self.context, prompt) from error
        finally:
            # After a cancelled call, the next one may have begun already.
            if self.stops.get(stop_key) is stop:
                del self.stops[stop_key]
            self.waiting.release()

    @contextmanager
    def turn(self, model: Path, report: Progress) -> Iterator[PriorModel]:
        """The loaded model of a file, while no other call is at work."""
        while not self.working.acquire(timeout=REPORT_S):
            report(0.0, "Waiting for another take...")
        try:
            report(0.0, "Loading the model...")
            yield load_cached_model(model, self.context.device)
        finally:
            self.working.release()

    def _store(self, call: _Call, add: Callable[[], object]) -> None:
        """Add a take to its session, unless its page was closed."""
        if call.owner not in self.sessions:
            return
        with self.storing:
            add()
            self.limit_memory()

    def limit_memory(self) -> None:
        """Drop the oldest takes from memory if all need too much; those on the boards go last."""
        sessions = list(self.sessions.values())
        stored = [(each, keeper) for keeper in sessions for each in keeper.all_takes()]
        stored.sort(key=lambda pair: (pair[0] is pair[1].history.state, pair[0].made_at))
        size = sum(each.size for each, _ in stored)
        for oldest, keeper in stored[:-1]:
            if size <= MAX_MEMORY_BYTES:
                break
            keeper.drop(oldest)
            size -= oldest.size

    def stop(self, stop_key: str | None) -> None:
        """Stop the call with this key at its next report of progress."""
        if stop := self.stops.get(stop_key):
            stop.set()

    def leave(self, stop_key: str | None) -> None:
        """Stop the work for a page that was closed or reloaded, and free its memory."""
        self.stop(stop_key)
        if session := self.sessions.pop(stop_key or "", None):
            session.takes.clear()
            session.removed.clear()
            session.history = History()
            session.playing = None


def stop_all() -> None:
    """Stop all calls at their next reports of progress, because the server ends."""
    for maker in list(_makers):
        for stop in list(maker.stops.values()):
            stop.set()


def _reporter(progress: Any, stop: threading.Event) -> Callable[[float, str], None]:
    """A function that shows progress on the page, and raises `_CancelledError` after `stop`."""
    reported = 0.0

    def report(share: float, text: str) -> None:
        nonlocal reported
        if stop.is_set():
            raise _CancelledError
        if time.monotonic() - reported >= REPORT_S:
            reported = time.monotonic()
            progress(share, desc=text)

    return report


def new_take(
    number: int, result: GenerationResult, model: PriorModel, key: str, origin: str = ""
) -> Take:
    """A take of the page; see `Take` for the arguments."""
    return Take(
        number,
        _without_mel(result),
        model.identity,
        key,
        model.spectrogram,
        model.grid[0],
        model.code_usage.tolist(),
        origin,
    )


def _without_mel(result: GenerationResult) -> GenerationResult:
    """A result without its mel, which the page does not need."""
    return replace(result, mel=torch.empty(0))
