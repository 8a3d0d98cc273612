"""The context of lowering for XNNPACK: faster, and with delegates for selected rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llm_export.backends.base import Resolved
from llm_export.backends.decompositions import decomposed_once
from llm_export.backends.xnnpack_passes import reused
from llm_export.backends.xnnpack_rows import selected_rows
from llm_export.compat.versions import lowering_untested


@contextmanager
def faster(resolved: Resolved) -> Iterator[None]:
    """XNNPACK's partitioners select nodes by operator and never read the whole program; those of
    other backends, in a chain or of further methods, may. They also take operators on selected
    rows. This does nothing for untested versions of ExecuTorch or torch.
    """
    if lowering_untested():
        yield
        return
    chosen = resolved.recipe.backend
    whole = decomposed_once(together=not (chosen.fallbacks or chosen.methods))
    with whole, reused(), selected_rows():
        yield
