"""The ASGI application."""

from __future__ import annotations

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from runtime_py.server.checks import BodyLimit, HostCheck, KeyCheck
from runtime_py.server.errors import ApiError, gone_wrong
from runtime_py.server.log import LOGGER, RequestLog
from runtime_py.server.routes import ROUTES
from runtime_py.server.serving import Serving


def application(serving: Serving) -> Starlette:
    """The routes, behind the checks."""
    settings = serving.settings
    cors = Middleware(
        CORSMiddleware, allow_origins=settings.allow_origins, allow_methods=["*"],
        allow_headers=["*"], expose_headers=["x-request-id"],
    )  # fmt: skip
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(RequestLog, metrics=serving.metrics),
            Middleware(HostCheck, settings=settings),
            *([cors] if settings.allow_origins else []),
            Middleware(KeyCheck, keys=settings.api_keys),
            Middleware(BodyLimit, most=settings.max_json, audio=settings.max_audio),
        ],
        exception_handlers={ApiError: _api, HTTPException: _http, Exception: _unexpected},
    )
    app.state.serving = serving
    return app


async def _api(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    request.state.noted["code"] = error.code
    return error.response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {404: "there is no such route", 405: "the route does not take this method"}
    message = what.get(error.status_code, HTTPStatus(error.status_code).phrase)
    code = {404: "unknown_route", 405: "method_not_allowed"}.get(error.status_code)
    return ApiError(
        error.status_code, f"{message}: {request.method} {request.url.path[:200]}", code=code,
        headers=error.headers,
    ).response()  # fmt: skip


async def _unexpected(request: Request, error: Exception) -> Response:
    LOGGER.error("unexpected %s", type(error).__name__, exc_info=error)
    return gone_wrong(error).response()
