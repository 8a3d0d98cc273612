"""Split a lowered graph by layer.

A node's level is the layer that uses it: the layer of its own weights and caches, or else of the
first node that uses it, as late as possible. Level 0 contains everything that the first layer
needs, including the embedding and values shared by all layers. The last level, one more than the
number of layers, contains what follows the layers. A unit therefore extends from the last weight
of one layer to the last weight of the next, wherever a partitioner has cut the graph in between.
Any later layer may use values and caches of a layer that lends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx
from torch.export import ExportedProgram

from llm_export.layer_reuse.plan import LayersDiffer
from llm_export.layer_reuse.weights import ModelWeights


@dataclass(frozen=True)
class Units:
    """The nodes of each level in graph order, without placeholders and output."""

    levels: tuple[tuple[fx.Node, ...], ...]
    of: dict[fx.Node, tuple[int, int]]
    """Node -> its level and its index there."""

    @property
    def last(self) -> int:
        return len(self.levels) - 1


def constants_of(program: ExportedProgram) -> dict[str, str]:
    """Placeholder -> name of its parameter, buffer or constant."""
    signature = program.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def constant_of(program: ExportedProgram, name: str) -> Tensor:
    """The value of one of ``constants_of``."""
    return program.state_dict[name] if name in program.state_dict else program.constants[name]


def delegate_of(node: fx.Node, module: fx.GraphModule) -> Any:
    """The lowered module that a node calls; None if it calls none."""
    if node.op != "call_function" or "executorch_call_delegate" not in str(node.target):
        return None
    lowered = node.args[0]
    assert isinstance(lowered, fx.Node)
    return getattr(module, str(lowered.target))


def units_of(
    program: ExportedProgram,
    module: fx.GraphModule,
    weights: ModelWeights,
    layers: int,
    lenders: Sequence[int] = (),
) -> Units:
    """Split the graph by level.

    Args:
        layers: number of layers in the graph.
        lenders: see ``LayerPlan``.

    Raises:
        LayersDiffer: a node spans more than two layers besides ``lenders``, or refers backwards.
    """
    names = constants_of(program)
    nodes = [n for n in module.graph.nodes if n.op not in ("placeholder", "output")]
    level: dict[fx.Node, int] = {}
    loose: list[fx.Node] = []
    owned = {n: _own_layers(n, module, names, weights) for n in nodes}
    shared = _shared(nodes, owned)
    earliest = _earliest(nodes, owned)
    for node in reversed(nodes):
        lent = {at for at in owned[node] if at < earliest[node] and at in lenders}
        own = owned[node] - lent
        if own and max(own) - min(own) > 1:
            raise LayersDiffer(f"'{node.name}' holds weights of layers {min(own)} to {max(own)}")
        users = [level[user] for user in node.users if user in level]
        if own:
            level[node] = max(own)
        elif lent:
            level[node] = earliest[node]
        elif node in shared:
            level[node] = 0
        elif users:
            level[node] = min(users)
        elif any(user.op == "output" for user in node.users):
            level[node] = layers
        else:
            loose.append(node)
    for node in reversed(loose):
        # Called for its side effect on an argument that others read.
        level[node] = max((level.get(n, 0) for n in node.all_input_nodes), default=0)
    for node in nodes:
        for source in node.all_input_nodes:
            at = level.get(source, 0)
            far = 0 < at < level[node] - 1 and at not in lenders
            if at > level[node] or far:
                raise LayersDiffer(
                    f"'{node.name}' of layer {level[node]} takes '{source.name}' of layer {at}"
                )
    levels = tuple(tuple(n for n in nodes if level[n] == at) for at in range(layers + 1))
    places = {node: (at, i) for at, unit in enumerate(levels) for i, node in enumerate(unit)}
    return Units(levels, places)


def _earliest(nodes: Sequence[fx.Node], own: dict[fx.Node, set[int]]) -> dict[fx.Node, int]:
    """The last layer whose weights, caches or results each node needs, directly or not."""
    found: dict[fx.Node, int] = {}
    for node in nodes:
        results = [found.get(source, 0) for source in node.all_input_nodes]
        found[node] = max([*own[node], *results], default=0)
        # Tensors that the node writes, its keyword arguments, may be read instead of it.
        written: list[fx.Node] = []
        fx.node.map_arg(node.kwargs, written.append)
        found.update(dict.fromkeys(written, found[node]))
    return found


def _shared(nodes: Sequence[fx.Node], own: dict[fx.Node, set[int]]) -> set[fx.Node]:
    """Nodes that depend on inputs and layer-independent values only: rotations, masks, the
    embedding. Allocations and lowered modules, which depend on nothing, belong to their users.
    """
    found: set[fx.Node] = set()
    written_by: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        written_by.update({n: node for n in node.kwargs.values() if isinstance(n, fx.Node)})
        if own[node] or not _computes(node):
            continue
        # For operators with several results, the output tensors are read instead of the operator.
        sources = {written_by.get(n, n) for n in node.all_input_nodes} - {node}
        if all(n in found for n in sources if n.op != "placeholder" and _computes(n)):
            found.add(node)
    return found


def _computes(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(node.target, "__name__", "") != "alloc"


def _own_layers(
    node: fx.Node, module: fx.GraphModule, names: dict[str, str], weights: ModelWeights
) -> set[int]:
    owned: Iterable[str] = [names[n.name] for n in node.all_input_nodes if n.name in names]
    lowered = delegate_of(node, module)
    if lowered is not None:
        owned = [*owned, *constants_of(lowered.original_module).values()]
    found = {weights.layer(name) for name in owned}
    return {layer for layer in found if layer is not None}


def require_same_shape(units: Units, a: int, b: int, module: fx.GraphModule) -> None:
    """Raises LayersDiffer if two units have different graphs, ignoring constants."""
    one, other = units.levels[a], units.levels[b]
    if len(one) != len(other):
        raise LayersDiffer(
            f"layer {a} has {len(one)} operations in the lowered graph, layer {b} {len(other)}"
        )
    for left, right in zip(one, other, strict=True):
        if _signature(left, units, module) != _signature(right, units, module):
            raise LayersDiffer(f"'{left.name}' of layer {a} is not as '{right.name}' of layer {b}")


def _signature(node: fx.Node, units: Units, module: fx.GraphModule) -> tuple[Any, ...]:
    """A key that is equal for repeated nodes: constants and nodes of other units are compared by
    kind, nodes of the same unit by index, and results by their number.
    """
    level = units.of[node][0]

    def described(value: Any) -> Any:
        if isinstance(value, fx.Node):
            at = units.of.get(value)
            return ("here", at[1]) if at is not None and at[0] == level else "elsewhere"
        return repr(value)

    target: Any = node.target
    if node.op == "get_attr" and delegate_of_attribute(node, module) is not None:
        target = "delegate"
    mapped = fx.node.map_aggregate((node.args, tuple(sorted(node.kwargs.items()))), described)
    results = node.meta.get("val")
    return (node.op, target, mapped, len(results) if isinstance(results, (list, tuple)) else 1)


def delegate_of_attribute(node: fx.Node, module: fx.GraphModule) -> Any:
    value = getattr(module, str(node.target), None)
    return value if hasattr(value, "processed_bytes") else None


def delegates(unit: Sequence[fx.Node], module: fx.GraphModule) -> Iterator[tuple[fx.Node, Any]]:
    """The ``get_attr`` nodes of a unit's delegates, with their lowered modules."""
    for node in unit:
        lowered = delegate_of_attribute(node, module) if node.op == "get_attr" else None
        if lowered is not None:
            yield node, lowered
