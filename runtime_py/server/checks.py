"""Who may use the server: ASGI middleware in front of the routes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime_py.server.errors import ApiError, wrong
from runtime_py.server.settings import Settings, is_loopback

OPEN = frozenset({"/health"})
"""Paths that need no key. The files of a page are open too: see ``open_path``."""


class HostCheck:
    """Refuses requests with another host name than the server's if it listens on the loopback
    address (against DNS rebinding), and those of pages of origins that are not allowed.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._error(Headers(scope=scope))) is not None:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _error(self, headers: Headers) -> ApiError | None:
        settings, host = self._settings, headers.get("host", "")
        name = _host_name(host)
        known = is_loopback(name) or name in {settings.host.lower(), *settings.allow_hosts}
        if settings.loopback and not known:
            return ApiError(
                403, "the server answers only requests to this machine's own name; start it with "
                "--allow-host NAME for another one", code="host_not_allowed",
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is None or "*" in settings.allow_origins or origin in settings.allow_origins:
            return None
        if _netloc(origin) == host.lower():
            return None
        return ApiError(
            403, "pages of other origins may not use the server; start it with "
            "--allow-origin ORIGIN to let them", code="origin_not_allowed",
        )  # fmt: skip


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class KeyCheck:
    """Refuses requests without one of the keys in ``Authorization: Bearer KEY``."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app, self._keys = app, [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._keys or open_path(scope["path"]):
            await self._app(scope, receive, send)
            return
        kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        given = key.strip().encode("utf-8", "replace") if kind.lower() == "bearer" else b""
        # All are compared, so that the time does not tell which one was nearly right.
        found = [secrets.compare_digest(given, each) for each in self._keys]
        if not any(found):
            what = "the API key is wrong" if given else "an API key is needed"
            error = ApiError(
                401, f"{what}: Authorization: Bearer KEY", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
            await error.response()(scope, receive, send)
            return
        scope["state"]["client_key"] = found.index(True)
        await self._app(scope, receive, send)


def open_path(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN or path == "/" or path.startswith("/page/")


_DRAINED = 64 * 1024 * 1024
"""Bytes of a body that is refused which are read all the same: many clients read the answer only
when they have sent the body."""
_PATIENCE = 2.0
"""Seconds to wait for more of it."""
_DRAIN_SECONDS = 10.0
"""Seconds that this takes at most: a client may send a byte at a time."""


class BodyLimit:
    """Refuses a body of more than ``most`` bytes, or ``audio`` where it has an audio; it is not
    kept."""

    def __init__(self, app: ASGIApp, most: int, audio: int) -> None:
        self._app, self._usual, self._audio = app, most, audio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._audio if scope["path"].startswith("/v1/audio/") else self._usual
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal():
            await wrong("Content-Length is no number").response()(scope, receive, send)
            return
        if int(length) > most:
            await _drain(receive)
            await _too_large(most).response()(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                if message.get("more_body", False):
                    await _drain(receive)
                raise _too_large(most)
            return message

        await self._app(scope, counted, send)


def _too_large(most: int) -> ApiError:
    return ApiError(
        413, f"the body has more than {most} bytes, which is the server's limit",
        code="request_too_large", headers={"Connection": "close"},
    )  # fmt: skip


async def _drain(receive: Receive) -> None:
    """Read what is left of a body, within bounds."""
    left, end = _DRAINED, time.monotonic() + _DRAIN_SECONDS
    with contextlib.suppress(asyncio.TimeoutError):
        while left > 0 and time.monotonic() < end:
            message = await asyncio.wait_for(receive(), _PATIENCE)
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return
