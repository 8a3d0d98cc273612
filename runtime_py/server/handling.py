"""What all routes do with a request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive

from runtime_py.server.bodies import Kind, read
from runtime_py.server.errors import ApiError
from runtime_py.server.job import Ask, Gone, Job
from runtime_py.server.log import CLIENT_LEFT
from runtime_py.server.serving import Serving

Answer = TypeVar("Answer", bound=Response)


def serving_of(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


def noted(
    handler: Callable[[Request], Awaitable[Answer]],
) -> Callable[[Request], Awaitable[Response]]:
    """A handler whose route is named in the log."""

    @functools.wraps(handler)
    async def noting(request: Request) -> Response:
        route = request.scope.get("route")
        request.state.noted["route"] = getattr(route, "path", request.url.path)
        try:
            return await handler(request)
        except (Gone, ClientDisconnect):
            return Response(status_code=CLIENT_LEFT)

    return noting


def check_model(serving: Serving, name: str | None) -> None:
    """
    Raises:
        ApiError: a request is for another model.
    """
    if name is not None and name != serving.model_name:
        raise ApiError(
            404, f"there is no model '{name[:100]}'; the server has '{serving.model_name}'",
            param="model", code="model_not_found",
        )  # fmt: skip


async def received(request: Request, kind: type[Kind]) -> tuple[Serving, Kind]:
    """What serves, and the request's body, which is for its model.

    Raises:
        ApiError: the body is wrong, it is for another model, or the server is not ready.
    """
    serving = serving_of(request)
    body = await read(request, kind)
    serving.ready()
    check_model(serving, body.model)
    return serving, body


def client_of(request: Request) -> str:
    """Who takes turns with others: a key, at an address."""
    address = request.client.host if request.client else ""
    return f"{getattr(request.state, 'client_key', '')}@{address}"


async def submitted(request: Request, ask: Callable[[], Ask]) -> Job:
    """The request in the queue.

    Args:
        ask: what it asks; called in a thread, since a schema may take seconds to check.
    """
    serving = serving_of(request)
    serving.check_room()
    job = await serving.submit(await asyncio.to_thread(ask), client_of(request))
    request.state.noted["job"] = job
    return job


@contextlib.asynccontextmanager
async def attended(serving: Serving, job: Job, receive: Receive) -> AsyncIterator[None]:
    """A block that reads a job's events. The job is cancelled when the client leaves meanwhile, and
    at the end.
    """

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        serving.leave(job)
        job.put(Gone())

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        serving.leave(job)


async def collected(request: Request, job: Job) -> None:
    """Wait for all answers of a job, which has them then.

    Raises:
        ApiError: it has failed. Gone: the client has left.
    """
    async with attended(serving_of(request), job, request.receive):
        async for _ in job.events():
            pass
