"""Which weights the operators of a graph read, and the bytes that the program stores of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import argument_names
from llm_export.layer_reuse.layer_graphs import constant_of, constants_of

_OWN = re.compile(r"\.?parametrizations\..*$|\.?[^.]+$")


@dataclass(frozen=True)
class Weight:
    """
    Attributes:
        bytes: as stored: integers of four bits count half a byte each, however they are kept here.
        parameter: whether it is a parameter of the model, as opposed to a buffer.
    """

    name: str
    bytes: int
    dim: int
    parameter: bool


def module_of_weight(name: str) -> str:
    """Path of the module that owns a weight, also one inside a tensor subclass."""
    return _OWN.sub("", name, count=1)


def shifted(name: str, layers: str, shift: int) -> str:
    """A name or path with the number of its layer increased by ``shift``.

    Args:
        layers: attribute of the model that contains its layers; '' changes nothing.
    """
    if not layers or not shift:
        return name
    found = re.match(rf"{re.escape(layers)}\.(\d+)(?=\.|$)", name)
    return name if found is None else f"{layers}.{int(found[1]) + shift}{name[found.end() :]}"


class GraphWeights:
    """
    Args:
        layers, shift: see ``shifted``; of a delegate that was made from another layer's graph.

    Attributes:
        fixed: nodes that are computed from constants alone, such as a dequantized weight.
    """

    def __init__(self, program: ExportedProgram, layers: str = "", shift: int = 0) -> None:
        self._program, self._layers, self._shift = program, layers, shift
        self._names = constants_of(program)
        self._parameters = program.graph_signature.inputs_to_parameters
        mutated = set(program.graph_signature.buffers_to_mutate.values())
        self._names = {k: name for k, name in self._names.items() if name not in mutated}
        self.fixed: set[fx.Node] = set()
        for node in program.graph.nodes:
            if node.op == "call_function" and node.all_input_nodes and self._is_fixed(node):
                self.fixed.add(node)

    def _is_fixed(self, node: fx.Node) -> bool:
        return all(n.name in self._names or n in self.fixed for n in node.all_input_nodes)

    def of(self, node: fx.Node) -> Iterator[Weight]:
        """The weights that an operator reads, directly or through nodes of ``fixed``."""
        for source in node.all_input_nodes:
            if source.op == "placeholder" and source.name in self._names:
                yield self._weight(source)
            elif source in self.fixed:
                yield from self.of(source)

    def _weight(self, source: fx.Node) -> Weight:
        name = self._names[source.name]
        value = constant_of(self._program, name)
        bits = min([_bits(user, source) or 64 for user in source.users] or [64])
        stored = min(8 * value.element_size(), bits) * value.numel() // 8
        name = shifted(name, self._layers, self._shift)
        return Weight(name, stored, value.dim(), source.name in self._parameters)


def _bits(user: fx.Node, source: fx.Node) -> int | None:
    """Bits of the integers that an operator dequantizes; None if it dequantizes none of them."""
    if not user.args or user.args[0] is not source:
        return None
    named = {**dict(zip(argument_names(user.target), user.args, strict=False)), **user.kwargs}
    low, high = named.get("quant_min"), named.get("quant_max")
    if not isinstance(low, int) or not isinstance(high, int) or high <= low:
        return None
    return math.ceil(math.log2(high - low + 1))
