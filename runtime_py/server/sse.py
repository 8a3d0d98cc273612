"""Answers as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime_py.server.errors import ApiError, gone_wrong
from runtime_py.server.handling import attended
from runtime_py.server.job import Event, Gone, Job
from runtime_py.server.serving import Serving

_PING = 10.0
"""Seconds after which a client that waits is told that it is not forgotten."""
_LINGER = 5.0
"""Seconds after the deadline in which a client may still read what was written."""
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Chunk = dict[str, Any] | str
Chunks = Callable[[Event | None], Iterable[Chunk]]


_LINE_ENDS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
"""Some clients take these as the end of a line, as ``str.splitlines`` does."""


def _line(chunk: dict[str, Any]) -> str:
    return json.dumps(chunk, ensure_ascii=False).translate(_LINE_ENDS)


class EventStream(Response):
    """The events of a job as a response. What fails before the model begins has a status of its
    own; what fails later is an event.

    Args:
        chunks: the chunks for an event; of None, those at the end. A chunk with a ``type`` is
            an event of that name.
        failed: the chunk for an error.
    """

    def __init__(
        self,
        serving: Serving,
        job: Job,
        chunks: Chunks,
        failed: Callable[[ApiError], Chunk] = lambda error: error.body,
    ) -> None:
        super().__init__()
        self._serving, self._job, self._chunks, self._failed = serving, job, chunks, failed
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with attended(self._serving, self._job, receive):
            left = self._job.arrived + self._job.seconds - time.monotonic()
            try:
                await asyncio.wait_for(self._events(send), left + _LINGER)
            except Gone:
                return
            except asyncio.TimeoutError:
                return  # the client does not read; the connection is closed
            except ApiError as error:
                scope["state"]["noted"]["code"] = error.code
                if not self._started:
                    await error.response()(scope, receive, send)
                    return
                await self._send(send, self._failed(error))
            except Exception as error:
                if not self._started:
                    raise
                await self._send(send, self._failed(gone_wrong(error)))
            await send({"type": "http.response.body", "body": b""})

    async def _events(self, send: Send) -> None:
        while True:
            try:
                event = await self._job.next(_PING)
            except TimeoutError:
                await self._start(send)
                await self._write(send, ": waiting\n\n")
                continue
            for chunk in self._chunks(event):
                await self._send(send, chunk)
            if event is None:
                return

    async def _send(self, send: Send, chunk: Chunk) -> None:
        text = chunk if isinstance(chunk, str) else _line(chunk)
        name = "" if isinstance(chunk, str) or "type" not in chunk else f"event: {chunk['type']}\n"
        await self._start(send)
        await self._write(send, f"{name}data: {text}\n\n")

    async def _start(self, send: Send) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})

    @staticmethod
    async def _write(send: Send, text: str) -> None:
        body = text.encode("utf-8", "replace")
        await send({"type": "http.response.body", "body": body, "more_body": True})
