"""Decides which requests the stand-alone app answers, and limits what they upload."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

from distill_prior_gen.ui.hosts import LOCAL_HOSTS
from distill_prior_gen.ui.temporary_files import make_room

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FILE_BYTES = 2 * 2**30
"""Size of all files that the page has received and made. The oldest are deleted first."""

MAX_INCOMING_BYTES = 2**30
"""Size of all uploads that are under way at one time."""


class Guard:
    """ASGI middleware that answers only the app's own page.

    Args:
        app: the app that answers the requests that are let through.
        local: whether only this machine is served. Then the host that a request names must be
            local, because another name can lead here only if someone has redirected it.
        folder: folder of the temporary files, whose total size is limited.
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
        if reason := self._refusal_reason(headers):
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
            if self.incoming + size > MAX_INCOMING_BYTES:
                text = "This is too large, or too much is being uploaded; try again later."
                await PlainTextResponse(text, 413)(scope, receive, send)
                return
        self.incoming += size
        try:
            if posted:
                await run_in_threadpool(make_room, self.folder, MAX_FILE_BYTES - self.incoming)
            await self.app(scope, receive, _forbid_frames(send))
        finally:
            self.incoming -= size

    def _refusal_reason(self, headers: Headers) -> str | None:
        """The reason why a request does not come from the app's own page, or None if it does."""
        host = headers.get("host", "")
        if self.local and _hostname(f"//{host}") not in LOCAL_HOSTS:
            return "This page is served to this machine only, as 127.0.0.1 or localhost."
        origin = headers.get("origin")
        # A proxy in front of the page may forward the name that the browser knows.
        known = {host} if self.local else {host, headers.get("x-forwarded-host")}
        if origin is not None and origin.partition("://")[2] not in known:
            return "Other pages may not call this one."
        return None


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _forbid_frames(send: Send) -> Any:
    """Forbid other pages to show the response in a frame."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = "frame-ancestors 'self'"
            headers["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return send_on
