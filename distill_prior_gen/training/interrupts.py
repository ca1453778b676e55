"""Ctrl-C, and other signals that ask to end, put off where they would lose something."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interruption:
    """Whether the program was asked to end.

    Attributes:
        came: a signal came where it was put off, and nothing has come of it yet.
    """

    def __init__(self) -> None:
        self.came = False
        self._allowed = False
        self._previous: dict[int, Callable[..., Any]] = {}

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A block that signals end at once, with what their handlers raise.

        Raises:
            KeyboardInterrupt: if a signal was put off before.
        """
        if self.came:
            self.came = False
            raise KeyboardInterrupt
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False

    def _install(self) -> None:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):  # what the system does by itself, or ignores, stays so
                self._previous[number] = handler
                signal.signal(number, self._handle)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        if self._allowed:
            self._allowed = False  # a second signal does not disturb what the first has begun
            self._previous[number](number, frame)
            self._allowed = True
        else:
            self.came = True


_active: Interruption | None = None


@contextmanager
def put_off() -> Iterator[Interruption]:
    """Put off SIGINT, SIGTERM and SIGHUP, where they have handlers, outside of `allowed` blocks.

    Within another such block it is the same. In threads other than the main one, which get no
    signals, it does nothing.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield Interruption()
    elif _active:
        yield _active
    else:
        _active = Interruption()
        try:
            _active._install()
            yield _active
        finally:
            _active._restore()
            _active = None
