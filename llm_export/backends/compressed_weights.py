"""Dequantization of weights as plain operators that graph compilers recognize.

torchao exports ``dequantize_affine(q, scales, zeros)`` and PT2E ``dequantize_per_channel``. Most
delegates support neither operator. OpenVINO keeps a constant compressed, and multiplies by it
directly, if it is converted, shifted and scaled by plain operators. 4-bit weights are packed two
per byte, unpacked with ``& 15`` and ``>> 4``, and stacked.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from llm_export.backends.constants import (
    is_constant,
    may_be_nonzero,
    name_of,
    replace_value,
    value_of,
)
from llm_export.backends.graph_calls import call
from llm_export.backends.lookups import fuse_lookups, unwrapped

_ATEN = torch.ops.aten


def spell_out(program: ExportedProgram) -> ExportedProgram:
    """Replace each dequantization of a weight [N, K] by plain operators.

    With quantized activations, embeddings become ExecuTorch's own lookup kernels: OpenVINO would
    store them in float32.
    """
    graph = program.graph_module.graph
    static = any("quantize_per_tensor" in str(node.target) for node in graph.nodes)
    program = fuse_lookups(program) if static else unwrapped(program)
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if not is_constant(program, node.args[0] if node.args else None):
            continue
        if "dequantize_affine" in str(node.target):
            _spell(program, graph, node)
        elif "dequantize_per_channel" in str(node.target):
            _spell_channels(program, graph, node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _spell(program: ExportedProgram, graph: Graph, node: Node) -> None:
    q, scales, zeros = node.args[0], node.args[2], node.args[3]
    low, high = node.args[5], node.args[6]
    assert isinstance(q, Node)
    assert isinstance(scales, Node)
    rows, columns = q.meta["val"].shape
    groups = scales.meta["val"].shape[1]
    four = (low, high) == (-8, 7) and len(q.users) == 1
    if four:
        _pack(program, q)
    shift = zeros if isinstance(zeros, Node) and may_be_nonzero(program, zeros) else None
    if four and shift is not None:
        # One subtraction: OpenVINO stores what two are made from in float32.
        replace_value(program, shift, value_of(program, _named(program, shift)).float() + 8)
    shape = [rows, columns] if groups == 1 else [rows, groups, columns // groups]
    if not four and len(q.users) == 1:
        # Of a constant that is reshaped, a lookup keeps float32.
        replace_value(program, q, value_of(program, _named(program, q)).view(shape))
    with graph.inserting_before(node):
        if four:
            parts = [
                call(graph, _ATEN.bitwise_and.Scalar, q, 15),
                call(graph, _ATEN.bitwise_right_shift.Tensor_Scalar, q, 4),
            ]
            whole = call(graph, _ATEN.stack.default, parts, -1)
        else:
            whole = q
        if list(whole.meta["val"].shape) != shape:
            whole = call(graph, _ATEN.view.default, whole, shape)
        value = call(graph, _ATEN.to.dtype, whole, torch.float32)
        if shift is not None:
            value = call(graph, _ATEN.sub.Tensor, value, _per_group(program, graph, shift, groups))
        elif four:
            value = call(graph, _ATEN.sub.Tensor, value, 8)
        value = call(graph, _ATEN.mul.Tensor, value, _per_group(program, graph, scales, groups))
        if groups > 1:
            value = call(graph, _ATEN.view.default, value, [rows, columns])
    node.replace_all_uses_with(value)
    graph.erase_node(node)


def _spell_channels(program: ExportedProgram, graph: Graph, node: Node) -> None:
    """Expand ``dequantize_per_channel(q, scales [N], zeros [N], axis 0, ...)``."""
    q, scales, zeros, axis = node.args[:4]
    assert isinstance(q, Node)
    assert isinstance(scales, Node)
    if axis != 0 or q.meta["val"].dim() != 2:
        return
    with graph.inserting_before(node):
        value = call(graph, _ATEN.to.dtype, q, torch.float32)
        if isinstance(zeros, Node) and may_be_nonzero(program, zeros):
            value = call(graph, _ATEN.sub.Tensor, value, _per_channel(graph, zeros))
        value = call(graph, _ATEN.mul.Tensor, value, _per_channel(graph, scales))
    node.replace_all_uses_with(value)
    graph.erase_node(node)


def _per_channel(graph: Graph, node: Node) -> Node:
    """Broadcast [N] to multiply [N, K]; PT2E may keep it in float64."""
    if node.meta["val"].dtype != torch.float32:
        node = call(graph, _ATEN.to.dtype, node, torch.float32)
    return call(graph, _ATEN.unsqueeze.default, node, 1)


def _per_group(program: ExportedProgram, graph: Graph, node: Node, groups: int) -> Node:
    """Broadcast [N, G] to multiply [N, K] or [N, G, K / G]."""
    if groups > 1 and len(node.users) == 1:
        # A lookup stays compressed only if nothing computes its scales.
        name = _named(program, node)
        replace_value(program, node, value_of(program, name).float().unsqueeze(2))
        return node
    if node.meta["val"].dtype != torch.float32:
        node = call(graph, _ATEN.to.dtype, node, torch.float32)
    return node if groups == 1 else call(graph, _ATEN.unsqueeze.default, node, 2)


def _pack(program: ExportedProgram, q: Node) -> None:
    """int8 [N, K] of -8 to 7 -> uint8 [N, K / 2] of 0 to 15, even columns in the low bits."""
    shifted = (value_of(program, _named(program, q)) + 8).to(torch.uint8)
    replace_value(program, q, shifted[:, ::2] | (shifted[:, 1::2] << 4))


def _named(program: ExportedProgram, node: Node) -> str:
    name = name_of(program, node)
    assert name is not None
    return name
