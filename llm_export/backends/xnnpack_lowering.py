"""The context of lowering for XNNPACK: faster, and with delegates for selected rows and for slices
of a step of any length.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from llm_export.backends.base import Resolved
from llm_export.backends.decompositions import decomposed_once
from llm_export.backends.xnnpack_passes import reused
from llm_export.backends.xnnpack_rows import selected_rows
from llm_export.compat.versions import lowering_untested
from llm_export.compat.xnnpack_slices import slices_of_dynamic_shape


@contextmanager
def faster(resolved: Resolved) -> Iterator[None]:
    """XNNPACK's partitioners select nodes by operator and never read the whole program; other
    backends of a chain may. They also take operators on selected rows, and slices of a step, as
    which splits are written. This does nothing for untested versions of ExecuTorch or torch.
    """
    if lowering_untested():
        yield
        return
    rules = {torch.ops.aten.split_with_sizes.default: _slices}
    whole = decomposed_once(together=not resolved.recipe.backend.fallbacks, rules=rules)
    with whole, reused(), selected_rows(), slices_of_dynamic_shape():
        yield


def _slices(x: Tensor, sizes: list[int], dim: int = 0) -> Any:
    if not all(isinstance(size, int) for size in (*sizes, x.shape[dim])):
        return NotImplemented
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    cuts = zip([0, *ends], ends, strict=False)
    return [torch.ops.aten.slice.Tensor(x, dim, begin, end) for begin, end in cuts]
