"""Weight-only 8-bit linears on ExecuTorch's own kernels.

torchao exports a quantized linear as ``linear(x, dequantize_affine(q, scales, ...))``. ExecuTorch
has no kernel for ``dequantize_affine`` but one for both operators together,
``quantized_decomposed::mixed_linear``: float inputs [S, K], int8 weights [N, K], float scales [N].
(Group scales [N, G] are computed correctly too, but every call logs a warning.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from llm_export.backends.graph_calls import call
from llm_export.compat.operators import define_quantized_operators

_INT8 = (-128, 127)


def use_mixed_linear(program: ExportedProgram) -> ExportedProgram:
    """Replace every such linear with int8 weights by ``mixed_linear``, in place."""
    _define()
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.linear.default:
            weight = node.args[1]
            if _is_int8_weight(weight) and not _is_quantized(node.args[0]):
                _replace(graph, node, weight)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _is_quantized(node: Any) -> bool:
    return isinstance(node, Node) and "dequantize_affine" in str(node.target)


def _is_int8_weight(node: Any) -> bool:
    return _is_quantized(node) and tuple(node.args[5:7]) == _INT8


def _replace(graph: Graph, linear: Node, weight: Node) -> None:
    x, bias = linear.args[0], linear.args[2] if len(linear.args) > 2 else None
    assert isinstance(x, Node)
    q, scales = weight.args[0], weight.args[2]
    assert isinstance(scales, Node)
    assert scales.meta["val"].shape[1] == 1
    batched = x.meta["val"].dim() == 3  # [1, S, K]: programs have batch size 1
    with graph.inserting_before(linear):
        rows = call(graph, torch.ops.aten.squeeze.dim, x, 0) if batched else x
        scales = call(graph, torch.ops.aten.squeeze.dim, scales, 1)
        mixed = torch.ops.quantized_decomposed.mixed_linear.default
        y = call(graph, mixed, rows, q, scales, None)
        if bias is not None:
            y = call(graph, torch.ops.aten.add.Tensor, y, bias)
        if batched:
            y = call(graph, torch.ops.aten.unsqueeze.default, y, 0)
    linear.replace_all_uses_with(y)
    graph.erase_node(linear)


def _mixed_linear(
    x: Tensor, weight: Tensor, scales: Tensor, zero_points: Tensor | None, dtype: Any = None
) -> Tensor:
    return torch.nn.functional.linear(x, weight.to(x.dtype) * scales[:, None])


_library: list[torch.library.Library] = []


def _define() -> None:
    """ExecuTorch declares the operator and has its kernel, but no implementation for tracing."""
    if _library:
        return
    define_quantized_operators()  # its functional form; the next line its kernel
    import executorch.kernels.quantized  # noqa: F401

    library = torch.library.Library("quantized_decomposed", "IMPL")
    library.impl("mixed_linear", _mixed_linear, "CompositeExplicitAutograd")
    _library.append(library)
