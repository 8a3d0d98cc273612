"""What the server answers: a module for each family of routes, with its ``ROUTES``."""

from __future__ import annotations

from starlette.routing import BaseRoute

from runtime_py.server.routes import chat, health, metrics, models, page, sessions

ROUTES: list[BaseRoute] = [
    route for module in (chat, models, health, metrics, page, sessions) for route in module.ROUTES
]
"""Of all modules."""
