"""The context of lowering to the portable kernels: one decomposition in place of two."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from llm_export.backends.base import Resolved
from llm_export.backends.decompositions import decomposed_once
from llm_export.compat.versions import lowering_untested


def faster(resolved: Resolved) -> AbstractContextManager[None]:
    """Without a partitioner nothing reads a program between its two decompositions. This does
    nothing for untested versions of ExecuTorch or torch.
    """
    chosen = resolved.recipe.backend
    if lowering_untested() or chosen.fallbacks or chosen.methods:
        return nullcontext()
    return decomposed_once(together=True)
