"""One line of JSON for each request, on stderr; never a text of a prompt or an answer."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime_py.server.job import Work

if TYPE_CHECKING:
    from runtime_py.server.job import Job
    from runtime_py.server.metrics import Metrics

LOGGER = logging.getLogger("runtime_py.server")
CLIENT_LEFT = 499
"""Status of a request whose client has left before the answer began, as in nginx."""


class RequestLog:
    """ASGI middleware; also counts requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, name = time.monotonic(), f"req_{secrets.token_hex(12)}"
        noted: dict[str, Any] = {}
        scope.setdefault("state", {})["noted"] = noted
        status = CLIENT_LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", name.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException:
            status = 500 if status == CLIENT_LEFT else status
            raise
        finally:
            seconds = time.monotonic() - begin
            job: Job | None = noted.pop("job", None)
            route = noted.pop("route", None) or "unknown"
            self._metrics.requests.labels(route, str(status)).inc()
            if job is not None:
                noted |= _of_job(job)
                self._metrics.request_seconds.observe(seconds)
                if job.first_token is not None:
                    self._metrics.first_token.observe(job.first_token - job.arrived)
            client = scope.get("client")
            line = {"time": round(time.time(), 3), "id": name, "method": scope["method"],
                    "route": route, "status": status, "client": client[0] if client else None,
                    "seconds": round(seconds, 4), **noted}  # fmt: skip
            LOGGER.info("%s", json.dumps(line))


def _of_job(job: Job) -> dict[str, Any]:
    if isinstance(job, Work):
        begun = {} if job.begun is None else {"queue_seconds": round(job.begun - job.arrived, 4)}
        return {"prompt_tokens": job.tokens, **begun}
    answers = list(job.answers.values())
    found: dict[str, Any] = {
        "prompt_tokens": sum(map(len, job.ids)),
        "cached_tokens": sum(answer.stats.cached_tokens for answer in answers),
        "generated_tokens": sum(answer.stats.generated_tokens for answer in answers),
        "finish": [answer.finish for answer in answers],
    }
    if job.begun is not None:
        found["queue_seconds"] = round(job.begun - job.arrived, 4)
    if job.first_token is not None:
        found["first_token_seconds"] = round(job.first_token - job.arrived, 4)
    if answers:
        speed = answers[0].stats.decode_tokens_per_second
        found["tokens_per_second"] = round(speed, 2)
    return found
