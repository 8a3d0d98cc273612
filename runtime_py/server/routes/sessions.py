"""What the chat page needs beside OpenAI's API: facts of the model, and stored conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime_py.errors import ArgumentError, BundleRuntimeError, MissingSessionError
from runtime_py.server.bodies import Body, read
from runtime_py.server.errors import ApiError, refused
from runtime_py.server.handling import noted, serving_of
from runtime_py.store import Store

Result = TypeVar("Result")
_MOST = 500
"""Conversations in the list."""


class Written(Body):
    """All of a conversation."""

    messages: list[dict[str, Any]]
    stats: dict[str, dict[str, Any]] = {}
    settings: dict[str, Any] = {}


class Renamed(Body):
    title: str


@noted
async def info(request: Request) -> Response:
    serving = serving_of(request)
    llm = serving.llm
    manifest = llm.bundle.manifest
    program = llm.bundle.file("program")
    template = llm.template
    facts = {
        "model": serving.model_name,
        "context": manifest["program"]["context_length"],
        "vocabulary": manifest["program"]["vocab_size"],
        "parameters": manifest["model"]["parameters"],
        "program_bytes": program.stat().st_size if program else None,
        "backends": manifest["requires"]["backends"],
        "executorch": manifest["requires"]["executorch"],
        "sampling": manifest["sampling"],
        "chat": template is not None,
        "sees": llm.sees and template is not None,  # images are parts of messages
        "thinking": "enable_thinking" in serving.template_variables,
        "store": serving.settings.store is not None,
    }
    return JSONResponse(facts)


@noted
async def listed(request: Request) -> Response:
    found = await _with_store(request, lambda store: store.sessions(_MOST))
    rows = [
        {"id": each.id, "title": each.title, "updated": each.updated, "messages": each.messages}
        for each in found
    ]
    return JSONResponse({"data": rows})


@noted
async def opened(request: Request) -> Response:
    name = request.path_params["id"]
    session, messages = await _with_store(
        request, lambda store: (store.session(name), store.messages(name))
    )
    return JSONResponse({
        "id": session.id, "title": session.title, "updated": session.updated,
        "settings": session.settings,
        "messages": [{"message": each.message, "stats": each.stats} for each in messages],
    })  # fmt: skip


@noted
async def written(request: Request) -> Response:
    body = await read(request, Written)
    name, model = request.path_params["id"], serving_of(request).model_name
    stats = {i: body.stats[str(i)] for i in range(len(body.messages)) if str(i) in body.stats}
    await _with_store(
        request, lambda store: store.write(
            name, body.messages, stats=stats, settings=body.settings, model=model
        ),
    )  # fmt: skip
    return Response(status_code=204)


@noted
async def renamed(request: Request) -> Response:
    body = await read(request, Renamed)
    await _with_store(request, lambda store: store.rename(request.path_params["id"], body.title))
    return Response(status_code=204)


@noted
async def removed(request: Request) -> Response:
    await _with_store(request, lambda store: store.delete(request.path_params["id"]))
    return Response(status_code=204)


async def _with_store(request: Request, use: Callable[[Store], Result]) -> Result:
    """
    Raises:
        ApiError: the server keeps no conversations, or there is none of this id.
    """
    serving = serving_of(request)
    if serving.settings.store is None:
        raise ApiError(
            404, "the server keeps no conversations; start it with --store FILE", code="no_store"
        )
    try:
        return await asyncio.to_thread(_used, serving.settings.store, use)
    except ArgumentError as error:
        raise refused(error) from None
    except MissingSessionError as error:
        raise ApiError(404, refused(error).message, code="session_not_found") from None
    except BundleRuntimeError as error:
        raise ApiError(500, refused(error).message, code="store_failed") from None


def _used(path: Path, use: Callable[[Store], Result]) -> Result:
    # Opened for each request: the file may be removed, or another one put in its place, meanwhile.
    with Store(path) as store:
        return use(store)


_ONE = "/api/sessions/{id}"
ROUTES = [
    Route("/api/info", info, methods=["GET"]),
    Route("/api/sessions", listed, methods=["GET"]),
    Route(_ONE, opened, methods=["GET"]),
    Route(_ONE, written, methods=["PUT"]),
    Route(_ONE, renamed, methods=["PATCH"]),
    Route(_ONE, removed, methods=["DELETE"]),
]
