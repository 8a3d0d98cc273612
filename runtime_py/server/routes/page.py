"""GET /: the chat page, and its files under /page/. They need no key."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from runtime_py.bundle_task import EMBED, TRANSCRIBE, task_name
from runtime_py.server.errors import ApiError
from runtime_py.server.handling import noted, serving_of
from runtime_py.server.serving import SERVED

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


_ABOUT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<link rel="icon" href="/page/icon.svg">
<h1>{name}</h1>
<p>This model {does}. It is served at <code>POST {route}</code>, as OpenAI's API has it:</p>
<pre>{example}</pre>
<p>Its facts: <a href="/v1/models">/v1/models</a>;
the server's: <a href="/metrics">/metrics</a>.</p>
</html>
"""
_EXAMPLES = {
    EMBED: "curl {address}/v1/embeddings -H 'Content-Type: application/json' "
    '-d \'{{"input": "A text"}}\'',
    TRANSCRIBE: "curl {address}/v1/audio/transcriptions -F file=@FILE.wav",
}


def _about(request: Request) -> str:
    """The page of a model that does not chat; empty: it chats, or is not loaded yet."""
    serving = serving_of(request)
    try:
        task = task_name(serving.bundle)
    except ApiError:
        return ""
    if task not in SERVED:
        return ""
    does, route = SERVED[task]
    example = _EXAMPLES[task].format(address=str(request.base_url).rstrip("/"))
    words = {"name": serving.model_name, "does": does, "route": route, "example": example}
    return _ABOUT.format(**{name: escape(word) for name, word in words.items()})


@noted
async def page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    if name == "index.html" and (about := _about(request)):
        return HTMLResponse(about, headers=_HEADERS)
    if name not in _FILES:
        raise HTTPException(404)
    kind = _TYPES[name.rpartition(".")[2]]
    return Response(_FILES[name].read_bytes(), headers={**_HEADERS, "Content-Type": kind})


ROUTES = [
    Route("/", page, methods=["GET"]),
    Route("/page/{name:path}", page, methods=["GET"]),
]
