"""What the server answers: a module for each family of routes, with its ``ROUTES``."""

from __future__ import annotations

from starlette.routing import BaseRoute

from runtime_py.server.routes import (
    audio,
    chat,
    completions,
    embeddings,
    health,
    metrics,
    models,
    page,
    responses,
    sessions,
)

ROUTES: list[BaseRoute] = [
    route
    for module in (
        chat, completions, responses, embeddings, audio, models, health, metrics, page, sessions
    )
    for route in module.ROUTES
]  # fmt: skip
"""Of all modules."""
