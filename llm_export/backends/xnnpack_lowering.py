"""What makes lowering for XNNPACK faster, with the same program as its result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llm_export.backends.base import Resolved
from llm_export.backends.decompositions import decomposed_once
from llm_export.backends.xnnpack_passes import reused
from llm_export.compat.versions import lowering_untested


@contextmanager
def faster(resolved: Resolved) -> Iterator[None]:
    """XNNPACK's partitioners choose by operator and node and never read a whole program; others
    of a chain may. With versions of ExecuTorch or torch that are not tested it does nothing."""
    if lowering_untested():
        yield
        return
    with decomposed_once(together=not resolved.recipe.backend.fallbacks), reused():
        yield
