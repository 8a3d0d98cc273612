"""Serve a bundle over HTTP with OpenAI's API.

python -m runtime_py.server outputs/smollm2_135m_xnnpack_8da8w

Needs starlette, uvicorn, pydantic and prometheus_client: pip install 'llm_export[serve]'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_py.server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "serve"]


def serve(bundle: str | Path, settings: Settings | None = None) -> None:
    """Serve a bundle until SIGTERM or SIGINT. Call it in the main thread.

    Raises:
        BundleRuntimeError: a package is missing, the bundle cannot be loaded, or the port is taken.
    """
    from runtime_py.bundle_place import require_place
    from runtime_py.server.packages import require

    require()
    require_place(bundle)
    from runtime_py.server.listen import listen

    listen(bundle, settings or Settings())
