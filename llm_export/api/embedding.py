"""Embed texts with a bundle of the task embed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.api.bundles import runtime_errors

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py import Embedder


def load_embedder(bundle: str | Path, *, threads: int | None = None) -> Embedder:
    """Load a bundle of the task embed into the Python runtime.

    Args:
        bundle: a folder, a file of ``pack``, or ORG/NAME on the hub.
        threads: size of ExecuTorch's thread pool; None keeps its choice.

    Raises:
        BundleError: it is damaged, of another task, or cannot run on this machine.
    """
    with runtime_errors():
        from runtime_py import Embedder

        return Embedder.load(bundle, threads=threads)


def embed(
    bundle: str | Path | Embedder,
    texts: Sequence[str] | str,
    *,
    prompt: str | None = None,
    dimensions: int | None = None,
    threads: int | None = None,
) -> Tensor:
    """Embeddings of texts, float32 [N, D]; see ``runtime_py.Embedder.embed``.

    Raises:
        BundleError: the bundle cannot be loaded, or an argument is wrong.
    """
    from runtime_py import Embedder

    with runtime_errors():
        if isinstance(bundle, Embedder):
            return bundle.embed(texts, prompt=prompt, dimensions=dimensions)
        with Embedder.load(bundle, threads=threads) as embedder:
            return embedder.embed(texts, prompt=prompt, dimensions=dimensions)
