"""Embed texts with a bundle of the task embed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py.embedding.embedder import Embedder
    from runtime_py.embedding.result import Embeddings

__all__ = ["Embedder", "Embeddings"]

_PLACES = {
    "Embedder": "runtime_py.embedding.embedder",
    "Embeddings": "runtime_py.embedding.result",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
