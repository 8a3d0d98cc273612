"""Lookups in 8-bit embeddings by ExecuTorch's own kernel, which reads only the rows it needs.

torchao exports a lookup as ``embedding(dequantize_affine(weight))``. Delegates that take both
operators store the embedding in float32 or dequantize all of it at each step.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from llm_export.backends.constants import is_constant, may_be_nonzero
from llm_export.backends.graph_calls import call
from llm_export.compat.operators import define_quantized_operators


def unwrapped(program: ExportedProgram) -> ExportedProgram:
    """With integers and scales as constants in place of torchao's tensor subclasses."""
    return program.run_decompositions({}) if _is_quantized(program) else program


def fuse_lookups(program: ExportedProgram) -> ExportedProgram:
    """Replace lookups in symmetric 8-bit embeddings [V, H] by ``embedding_byte``."""
    if not _is_quantized(program):
        return program
    program = unwrapped(program)
    graph = program.graph_module.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.embedding.default):
        table = node.args[0]
        if _is_dequantize(table) and _fits(program, table):
            _fuse(node, table)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _is_quantized(program: ExportedProgram) -> bool:
    return any(_is_dequantize(node) for node in program.graph.nodes)


def _is_dequantize(node: Node) -> bool:
    return "dequantize_affine" in str(node.target)


def _fits(program: ExportedProgram, table: Node) -> bool:
    q, zeros, low, high = (table.args[i] for i in (0, 3, 5, 6))
    return (
        is_constant(program, q)
        and (low, high) == (-128, 127)
        and not may_be_nonzero(program, zeros)
    )


def _fuse(node: Node, table: Node) -> None:
    define_quantized_operators()
    lookup = torch.ops.quantized_decomposed.embedding_byte.default
    with node.graph.inserting_before(node):
        arguments = (table.args[0], table.args[2], None, -128, 127, node.args[1])
        fused = call(node.graph, lookup, *arguments)
    node.replace_all_uses_with(fused)
    node.graph.erase_node(node)
