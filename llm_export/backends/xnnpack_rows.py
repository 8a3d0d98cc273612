"""Let XNNPACK's delegates take tensors whose number of rows depends on the data.

XNNPACK's operators skip a tensor without rows, and its runtime shapes a delegate anew in every
call. Its partitioner refuses such tensors all the same. Here it takes those whose rows
``aten.nonzero`` has selected: rows of a bounded number of tokens, as an expert gets. Other sizes
that depend on data, such as the filled part of a cache, remain outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from llm_export.compat.operators import operator_name
from llm_export.compat.xnnpack_partitioner import stated_shapes

_SELECTS = "aten::nonzero"


@contextmanager
def selected_rows() -> Iterator[None]:
    """Context in which XNNPACK's partitioner takes operators on selected rows."""
    counts: WeakKeyDictionary[fx.Graph, frozenset[Any]] = WeakKeyDictionary()

    def value_of(node: fx.Node) -> Any:
        value = node.meta["val"]
        if not isinstance(value, Tensor) or not free_unbacked_symbols(value):
            return value
        if node.graph not in counts:
            counts[node.graph] = _row_counts(node.graph)
        if not free_unbacked_symbols(value) <= counts[node.graph]:
            return value
        # The test reads dtypes, and that there are elements.
        return torch.empty((1,) * value.dim(), dtype=value.dtype, device="meta")

    with stated_shapes(value_of):
        yield


def _row_counts(graph: fx.Graph) -> frozenset[Any]:
    """The symbols of the numbers of rows that the graph selects."""
    found = (n for n in graph.nodes if n.op == "call_function" and _selects(n))
    return frozenset(s for n in found for s in free_unbacked_symbols(n.meta["val"]))


def _selects(node: fx.Node) -> bool:
    return operator_name(node.target).startswith(_SELECTS)
