"""GET /v1/models and /v1/models/NAME."""

from __future__ import annotations

import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, GENERATE, SEE, TRANSCRIBE, task_name, task_settings
from runtime_py.server.handling import check_model, noted, serving_of
from runtime_py.server.serving import Serving


@noted
async def models(request: Request) -> JSONResponse:
    return JSONResponse({"object": "list", "data": [_model(serving_of(request))]})


@noted
async def model(request: Request) -> JSONResponse:
    serving = serving_of(request)
    check_model(serving, request.path_params["name"])
    return JSONResponse(_model(serving))


def _model(serving: Serving) -> dict[str, Any]:
    bundle = serving.bundle
    manifest = bundle.manifest
    created = datetime.datetime.fromisoformat(manifest["created"])
    task = task_name(bundle)
    program, of_model = manifest["program"], manifest["model"]
    return {
        "id": serving.model_name,
        "object": "model",
        "created": int(created.timestamp()),
        "owned_by": "llm_export",
        "meta": {
            "n_ctx": program["context_length"],
            "n_vocab": program["vocab_size"],
            "n_params": of_model["parameters"],
            "backends": manifest["requires"]["backends"],
            "chat": task in (GENERATE, SEE) and bundle.file("chat_template") is not None,
            "sees": task == SEE,
            "sampling": manifest["sampling"],
            **_of_task(bundle, task),
        },
    }


def _of_task(bundle: Bundle, task: str) -> dict[str, Any]:
    """What a model has that embeds or transcribes."""
    settings = task_settings(bundle)
    if task == EMBED:
        cut = settings.get("matryoshka")
        return {"task": task, "n_embd": settings["dimensions"], "matryoshka": cut}
    if task == TRANSCRIBE:
        languages, tasks = settings.get("languages") or {}, settings.get("tasks") or {}
        return {"task": task, "languages": sorted(languages), "tasks": sorted(tasks)}
    return {}


ROUTES = [
    Route("/v1/models", models, methods=["GET"]),
    Route("/v1/models/{name:path}", model, methods=["GET"]),
]
