"""The server of the stand-alone app: who may call it, and what it keeps on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from distill_prior_gen.hookspecs import TabContext

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""

MOST_BYTES = 2 * 2**30
"""Of files that the page has received and made; the oldest go first."""

MOST_INCOMING = 2**30
"""Bytes of uploads that are under way at a time."""

MOST_WAITING = 100
"""Calls of the page that may wait in line."""

MOST_SESSIONS = 200
"""Browser sessions whose takes are kept; the one that was used longest ago goes first."""

PREFIX = "distill-prior-ui-"
IN_USE = "in use"
"""File that a running server holds a lock on."""


def serve(
    context: TabContext,
    host: str = "127.0.0.1",
    port: int | None = None,
    auth: tuple[str, str] | None = None,
    share: bool = False,
    open_: bool = False,
) -> None:
    """Serve the stand-alone app until the process is interrupted."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    _bypass_proxies(os.environ, host.strip("[]"))
    local = host.strip("[]") in LOCAL and not share
    with temporary_folder() as folder:
        # Gradio makes folders where temporary files are when it is imported.
        from distill_prior_gen.ui.app import create_app
        from distill_prior_gen.ui.take_maker import UPLOAD_BYTES, stop_all

        app = create_app(context)
        app.queue(api_open=False, max_size=MOST_WAITING)
        try:
            app.launch(
                server_name=f"[{host}]" if ":" in host and "[" not in host else host,
                server_port=port,
                auth=auth,
                share=share,
                inbrowser=open_,
                max_file_size=UPLOAD_BYTES,
                state_session_capacity=MOST_SESSIONS,
                enable_monitoring=False,
                ssr_mode=False,
                prevent_thread_lock=True,
                app_kwargs={"middleware": [Middleware(Guard, local=local, folder=folder)]},
            )
            while app.is_running:
                time.sleep(0.1)
        finally:
            stop_all()
            app.close(verbose=False)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder for the temporary files of this process.

    It is removed at the end. Folders that killed processes of the same user have left behind are
    removed at the beginning.
    """
    parent = Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    files = folder / "files"
    before = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    try:
        files.mkdir()
        tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"] = str(files)
        # It gets its name when it is locked, so that no other start takes it for a leftover.
        with (folder / "starting").open("w") as lock:
            _lock(lock.fileno())
            (folder / "starting").rename(folder / IN_USE)
            yield files
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("GRADIO_TEMP_DIR")
        if before[1] is not None:
            os.environ["GRADIO_TEMP_DIR"] = before[1]
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    if not fcntl:
        return  # without locks, nothing tells which are in use
    for lock in parent.glob(f"{PREFIX}*/{IN_USE}"):
        with suppress(OSError):  # that is of another user, or in use
            if lock.parent.is_symlink() or lock.lstat().st_uid != os.getuid():
                continue
            with lock.open("r+") as file:
                _lock(file.fileno())
                shutil.rmtree(lock.parent, ignore_errors=True)


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed, or raise an `OSError` where another process has done so."""
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _bypass_proxies(environment: MutableMapping[str, str], host: str) -> None:
    """Keep proxies out of what Gradio asks its own server when it starts."""
    given = [environment[name] for name in ("no_proxy", "NO_PROXY") if environment.get(name)]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join([*given, *LOCAL, host])


def make_room(folder: Path, most: int) -> None:
    """Delete the oldest files below a folder until the others have at most `most` bytes."""
    files = []
    for file in folder.rglob("*"):
        with suppress(OSError):  # that is gone already
            if file.is_file():
                status = file.stat()
                files.append((status.st_mtime, status.st_size, file))
    size = sum(size for _, size, _ in files)
    for _, freed, file in sorted(files):
        if size <= most:
            break
        with suppress(OSError):
            file.unlink()
            size -= freed


class Guard:
    """ASGI middleware that answers no other page than the app's own.

    Args:
        app: what answers in the end.
        local: whether only this machine is served. Then the name that a request asks for must be
            a local one; another name leads here only if someone has redirected it.
        folder: of the temporary files, whose size is limited.
    """

    def __init__(self, app: ASGIApp, local: bool, folder: Path) -> None:
        self.app = app
        self.local = local
        self.folder = folder
        self.incoming = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if reason := self._foreign(headers):
            await PlainTextResponse(reason, 403)(scope, receive, send)
            return
        size = 0
        posted = scope.get("method") == "POST"
        if posted and scope["path"].rstrip("/").endswith("/upload"):
            length = headers.get("content-length", "")
            if not length.isdecimal():
                await PlainTextResponse("Say how long the upload is.", 411)(scope, receive, send)
                return
            size = int(length)
            if self.incoming + size > MOST_INCOMING:
                text = "This is too large, or too much is being uploaded; try again later."
                await PlainTextResponse(text, 413)(scope, receive, send)
                return
        self.incoming += size
        try:
            if posted:
                await run_in_threadpool(make_room, self.folder, MOST_BYTES - self.incoming)
            await self.app(scope, receive, _unframed(send))
        finally:
            self.incoming -= size

    def _foreign(self, headers: Headers) -> str | None:
        """Why a request is not one of the app's own page, if it is not."""
        host = headers.get("host", "")
        if self.local and _name(f"//{host}") not in LOCAL:
            return "This page is served to this machine only, as 127.0.0.1 or localhost."
        origin = headers.get("origin")
        # A proxy in front of the page may pass on the name that the browser knows.
        known = {host} if self.local else {host, headers.get("x-forwarded-host")}
        if origin is not None and origin.partition("://")[2] not in known:
            return "Other pages may not call this one."
        return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _unframed(send: Send) -> Any:
    """Forbid other pages to show the answer in a frame."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = "frame-ancestors 'self'"
            headers["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return send_on
