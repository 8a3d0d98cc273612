"""Serve a bundle over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_export.api.bundles import register_eager, runtime_errors


def serve(bundle: str | Path, **settings: Any) -> None:
    """Serve a bundle with OpenAI's API until SIGTERM or SIGINT. Call it in the main thread.

    Args:
        settings: fields of ``runtime_py.server.Settings``, such as host and port.

    Raises:
        BundleError: a package is missing, the bundle cannot be loaded, or the port is taken.
    """
    with runtime_errors():
        from runtime_py.server import Settings
        from runtime_py.server import serve as run

        register_eager()
        run(bundle, Settings(**settings))
