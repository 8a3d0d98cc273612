"""A server with the chat page and answers that a test writes, on a free port of this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from runtime_py import LLM
from runtime_py.server.routes import page
from runtime_py.server.serving import Serving
from runtime_py.server.settings import Settings

INFO = {
    "model": "scripted", "context": 2048, "vocabulary": 256, "parameters": 1_000_000,
    "program_bytes": 4_000_000, "backends": [], "executorch": "1.5.1", "chat": True,
    "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    "thinking": True, "store": False,
}  # fmt: skip


class Script:
    """What the server does.

    Attributes:
        deltas: of the next answers, each a list of deltas; the last one is repeated.
        pause: seconds between two deltas.
        error: (status, code, message) of the next answers instead.
        asked: bodies of the requests.
        left: whether a client left before its answer was complete.
    """

    def __init__(self) -> None:
        self.deltas: list[list[dict[str, Any]]] = [[{"content": "Hello."}]]
        self.pause = 0.0
        self.error: tuple[int, str, str] | None = None
        self.asked: list[dict[str, Any]] = []
        self.left = False
        self.info = dict(INFO)
        self.key: str | None = None

    def routes(self) -> list[Route]:
        return [
            *page.ROUTES,
            Route("/api/info", self._info),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]

    def _refused(self, request: Request) -> Response | None:
        found = self.error
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            found = (401, "invalid_api_key", "an API key is needed")
        if found is None:
            return None
        status, code, message = found
        return JSONResponse({"error": {"message": message, "code": code}}, status)

    async def _info(self, request: Request) -> Response:
        wrong = self._refused(request) if self.key else None
        return wrong or JSONResponse(self.info)

    async def _chat(self, request: Request) -> Response:
        self.asked.append(await request.json())
        if (wrong := self._refused(request)) is not None:
            return wrong
        deltas = self.deltas.pop(0) if len(self.deltas) > 1 else self.deltas[0]
        return StreamingResponse(self._events(deltas), media_type="text/event-stream")

    async def _events(self, deltas: list[dict[str, Any]]) -> AsyncIterator[str]:
        done = False
        try:
            yield _data({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
            for delta in deltas:
                await asyncio.sleep(self.pause)
                yield _data({"choices": [{"delta": delta}]})
            timings = {"predicted_per_second": 42.0}
            end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": timings}
            yield _data(end)
            details = {"cached_tokens": 7}
            usage = {"prompt_tokens": 30, "completion_tokens": 12, "prompt_tokens_details": details}
            yield _data({"choices": [], "usage": usage}) + "data: [DONE]\n\n"
            done = True
        finally:
            self.left = self.left or not done


def _data(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


@contextmanager
def scripted() -> Iterator[tuple[Script, str]]:
    """(the script, the address of the page)."""
    script = Script()

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("state", {})["noted"] = {}
        await app(scope, receive, send)

    app = Starlette(routes=script.routes())
    # A model that is not loaded yet gets the page of models that chat.
    app.state.serving = Serving(Settings(), _never)
    with served(noted) as address:
        yield script, address


def _never() -> LLM:
    raise AssertionError("the script answers")


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application that runs in another thread."""
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.should_exit = True
            thread.join()


def serving(bundle: Path, **settings: Any) -> Serving:
    """A server that has loaded a bundle."""
    found = Serving(Settings(**settings), lambda: LLM.load(bundle))
    found.start()
    found.wait()
    return found
