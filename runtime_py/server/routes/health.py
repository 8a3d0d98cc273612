"""GET /health: loading, ok or stopping. Needs no key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime_py.server.handling import noted, serving_of


@noted
async def health(request: Request) -> JSONResponse:
    state = serving_of(request).state
    return JSONResponse({"status": state}, 200 if state == "ok" else 503)


ROUTES = [Route("/health", health, methods=["GET"])]
