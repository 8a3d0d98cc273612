"""Access to the weights of captured graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node


def is_constant(program: ExportedProgram, node: Any) -> bool:
    return isinstance(node, Node) and name_of(program, node) is not None


def name_of(program: ExportedProgram, node: Node) -> str | None:
    """The name of the weight that a node refers to in the program; None if it is not a weight."""
    signature = program.graph_signature
    return {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.get(node.name)


def value_of(program: ExportedProgram, name: str) -> Tensor:
    found = program.state_dict.get(name)
    return program.constants[name] if found is None else found


def replace_value(program: ExportedProgram, node: Node, value: Tensor) -> None:
    """Replace the tensor stored under a weight's name; shape and dtype may differ."""
    name = name_of(program, node)
    assert name is not None
    if name in program.state_dict:
        was = isinstance(program.state_dict[name], torch.nn.Parameter)
        kept = torch.nn.Parameter(value, requires_grad=False) if was else value
        program.state_dict[name] = kept
    else:
        program.constants[name] = value
    fake = node.meta["val"].fake_mode
    node.meta["val"] = fake.from_tensor(value, static_shapes=True)


def may_be_nonzero(program: ExportedProgram, node: Any) -> bool:
    """Whether any zero point may be nonzero; True if unknown."""
    if not isinstance(node, Node):
        return False
    name = name_of(program, node)
    return name is None or bool(value_of(program, name).any())


def merge_aliases(program: ExportedProgram) -> ExportedProgram:
    """Merge the graph inputs of tensors that the state dict holds under several names.

    A copied state dict counts an aliased tensor once but the graph's inputs count it every time,
    which makes ``run_decompositions`` fail.
    """
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    first: dict[int, Node] = {}
    kept, graph = [], program.graph_module.graph
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    nodes = graph.find_nodes(op="placeholder")
    for node, spec in zip(nodes, program.graph_signature.input_specs, strict=True):
        value = program.state_dict.get(spec.target or "")
        known = first.get(id(value)) if value is not None else None
        if spec.kind in kinds and known is not None and spec.target not in mutated:
            node.replace_all_uses_with(known)
            graph.erase_node(node)
            del program.state_dict[spec.target]
            continue
        if value is not None:
            first[id(value)] = node
        kept.append(spec)
    program.graph_signature.input_specs[:] = kept
    program.graph_module.recompile()
    return program
