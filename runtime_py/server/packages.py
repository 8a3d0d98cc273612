"""The packages that only the server needs."""

from __future__ import annotations

from importlib.util import find_spec

from runtime_py.errors import BundleRuntimeError

_NEEDED = ("starlette", "uvicorn", "pydantic", "prometheus_client")


def require() -> None:
    """Raises BundleRuntimeError if one is missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise BundleRuntimeError(
            f"the server needs {', '.join(missing)}", fix="pip install 'llm_export[serve]'"
        )
