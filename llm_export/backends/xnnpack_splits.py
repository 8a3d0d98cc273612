"""Splits as slices, which XNNPACK can compute inside a delegate.

The parts of a joint product (queries, keys and values; gate and up) are a split of its result,
which would stay outside and cut the delegate in two.
"""

from __future__ import annotations

import operator
from itertools import accumulate

import torch
from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import operator_name

_SPLITS = ("aten::split_with_sizes", "aten::split", "aten::chunk")


def as_slices(program: ExportedProgram) -> ExportedProgram:
    """The program with each split into parts of fixed sizes as slices; in place."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op == "call_function" and operator_name(node.target) in _SPLITS:
            _replace(graph, node)
    program.graph_module.recompile()
    return program


def _replace(graph: fx.Graph, node: fx.Node) -> None:
    source, dim = node.args[0], node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    sizes = [part.shape[dim] for part in node.meta["val"]]
    parts = list(node.users)
    if any(type(size) is not int for size in sizes) or any(
        part.target is not operator.getitem for part in parts
    ):
        return
    ends = list(accumulate(sizes))
    for part in parts:
        index = part.args[1]
        assert isinstance(index, int)
        cut = (source, dim, ends[index] - sizes[index], ends[index])
        with graph.inserting_before(part):
            made = graph.call_function(torch.ops.aten.slice.Tensor, cut)  # type: ignore[arg-type]
        made.meta = {**part.meta, "nn_module_stack": node.meta.get("nn_module_stack", {})}
        part.replace_all_uses_with(made)
        graph.erase_node(part)
    graph.erase_node(node)
