"""Splits as slices, which XNNPACK can compute inside a delegate.

The parts of a joint product (queries, keys and values; gate and up) are a split of its result. A
split outside cuts the delegate in two, which costs more than the copies do.
"""

from __future__ import annotations

import operator

import torch
from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import operator_name

_SPLIT = "aten::split_with_sizes"


def as_slices(program: ExportedProgram) -> ExportedProgram:
    """The program with each split into parts of fixed sizes as slices; in place."""
    graph = program.graph_module.graph
    changed = [_slices(graph, node) for node in list(graph.nodes) if _fits(node)]
    if changed:
        program.graph_module.recompile()
    return program


def _fits(node: fx.Node) -> bool:
    if node.op != "call_function" or operator_name(node.target) != _SPLIT:
        return False
    sizes = node.args[1]
    apart = all(user.target is operator.getitem for user in node.users)
    return apart and isinstance(sizes, (list, tuple)) and all(type(s) is int for s in sizes)


def _slices(graph: fx.Graph, node: fx.Node) -> None:
    source, sizes = node.args[:2]
    dim = node.args[2] if len(node.args) > 2 else 0
    ends = torch.tensor(sizes).cumsum(0).tolist()
    for part in list(node.users):
        index = part.args[1]
        assert isinstance(index, int)
        begin, end = ends[index] - sizes[index], ends[index]  # type: ignore[index]
        with graph.inserting_before(node):
            made = graph.call_function(
                torch.ops.aten.slice.Tensor, (source, dim, begin, end)  # type: ignore[arg-type]
            )
        made.meta = {**part.meta, "nn_module_stack": node.meta.get("nn_module_stack", {})}
        part.replace_all_uses_with(made)
        graph.erase_node(part)
    graph.erase_node(node)
