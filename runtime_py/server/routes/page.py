"""GET /: the chat page, and its files under /page/. They need no key."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime_py.server.handling import noted

_TYPES = {
    "html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
}  # fmt: skip
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
"""Only files of this server: nothing that a model writes can load or send anything. The data URL of
an attached image is no connection."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _found() -> dict[str, Traversable]:
    top = files("runtime_py.server").joinpath("page")
    return {
        f"{folder}{file.name}": file
        for folder, place in (("", top), ("vendor/", top.joinpath("vendor")))
        for file in place.iterdir()
        if file.name.rpartition(".")[2] in _TYPES
    }


_FILES = _found()


@noted
async def page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in _FILES:
        raise HTTPException(404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_FILES[name].read_bytes(), headers={**_HEADERS, "Content-Type": kind})


ROUTES = [
    Route("/", page, methods=["GET"]),
    Route("/page/{name:path}", page, methods=["GET"]),
]
