"""Deferring Ctrl-C, and other signals that end the program, while work must not be lost."""

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
    """State of deferred signals.

    Attributes:
        pending: whether a signal came while signals were deferred and was not raised yet.
    """

    def __init__(self) -> None:
        self.pending = False
        self._allowed = False
        self._previous: dict[int, Callable[..., Any]] = {}

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A block that signals end at once, with the exception that their handlers raise.

        Raises:
            KeyboardInterrupt: if a signal is pending.
        """
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt
        self._allowed = True
        try:
            yield
        finally:
            self._allowed = False

    def _install(self) -> None:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):  # SIG_DFL and SIG_IGN stay
                self._previous[number] = handler
                signal.signal(number, self._handle)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        if self._allowed:
            self._allowed = False  # a second signal does not disturb the handling of the first
            self._previous[number](number, frame)
            self._allowed = True
        else:
            self.pending = True


_active: Interruption | None = None


@contextmanager
def defer_signals() -> Iterator[Interruption]:
    """Defer SIGINT, SIGTERM and SIGHUP, if they have handlers, outside of `allowed` blocks.

    Nested blocks share one `Interruption`. Only the main thread gets signals; in other threads
    the block does nothing.
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
