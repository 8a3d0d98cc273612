"""Insert operator calls into captured graphs, with the metadata that passes expect."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.fx import Graph, Node

from llm_export.compat.fake_values import tree_leaves, tree_map


def call(graph: Graph, target: Any, *args: Any) -> Node:
    """Call an operator at the graph's insertion point, with its fake result in ``meta``."""
    node = graph.call_function(target, args)
    values = tree_map(lambda a: a.meta["val"] if isinstance(a, Node) else a, args)
    # The class of fake tensors is private to torch.
    fake = next(v.fake_mode for v in tree_leaves(values) if isinstance(v, Tensor))  # type: ignore[attr-defined]
    with fake:
        node.meta["val"] = target(*values)
    return node
