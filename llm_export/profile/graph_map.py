"""Make the profile map of a program from the graphs that it was emitted from.

torch.export keeps the path and the class of the module that each node comes from, and ExecuTorch's
passes hand them on. Cloned layers keep those of their template, with the distance to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import operator_name
from llm_export.layer_reuse.clone import LAYER_SHIFT
from llm_export.layer_reuse.layer_graphs import delegate_of
from llm_export.profile.chain import DELEGATE_CALL, Chain
from llm_export.profile.graph_weights import GraphWeights, Weight, module_of_weight, shifted
from llm_export.profile.kinds import DELEGATE, kind_of
from llm_export.profile.profile_map import Call, Operation, ProfileMap
from llm_export.quant.layer_spec import LayerQuantSpec

HANDLE = "debug_handle"
"""The key of a node's meta where emission leaves the index of its instruction."""
_NO_PATH = "_empty_nn_module_stack_from_metadata_hook"


def number_instructions(module: fx.GraphModule) -> None:
    """Let emission leave the index of its instruction at every node: it does so only where there is
    a debug handle. Branches are included.
    """
    for node in module.graph.nodes:
        if node.op == "call_function":
            node.meta.setdefault(HANDLE, 0)
        if str(node.target) == "cond":
            for branch in branches_of(node, module):
                number_instructions(branch)


def branches_of(node: fx.Node, module: fx.GraphModule) -> tuple[fx.GraphModule, ...]:
    """The graphs of a ``cond``: if it is true, and if not."""
    targets = (one.target for one in node.args[1:3] if isinstance(one, fx.Node))
    return tuple(getattr(module, str(target)) for target in targets)


def profile_map(
    program: Any,
    methods: Iterable[str],
    stored: Iterable[LayerQuantSpec] = (),
    layers: Mapping[str, str] | None = None,
    within: Mapping[str, str] | None = None,
) -> ProfileMap:
    """The map of an emitted program.

    Args:
        program: an ``ExecutorchProgramManager``.
        methods: the names of its methods with graphs.
        stored: how the matrices are stored, where that is known: a graph has integers of four bits
            in bytes, and scales in float32.
        layers: method -> attribute of the model that contains its layers, if they were cloned.
        within: method -> attribute of what was traced that holds the model; paths begin in it.
    """
    plans = {plan.name: plan for plan in program.executorch_program.execution_plan}
    matrices = {choice.name: choice for choice in stored}
    found: dict[str, dict[int, Call]] = {}
    weights: dict[str, int] = {}
    for name in methods:
        cloned, holder = (layers or {}).get(name, ""), (within or {}).get(name, "")
        exported, chain = program.exported_program(name), Chain.of(plans[name])
        reader = _Reader(exported, chain, matrices, cloned, holder)
        found[name] = _with_rest(reader.calls(), reader.chain)
        weights |= reader.weights
    sizes: dict[str, int] = {}
    for weight, size in weights.items():
        module = module_of_weight(weight)
        sizes[module] = sizes.get(module, 0) + size
    return ProfileMap(found, sizes)


def _with_rest(calls: dict[int, Call], chain: Chain) -> dict[int, Call]:
    """The instructions without a node of their own, such as views, go to the module before them."""
    module, found = "", {}
    for index, operator in chain.operators.items():
        if index in calls:
            module = calls[index].own.module
            found[index] = calls[index]
        elif operator == DELEGATE_CALL:
            found[index] = Call(Operation(operator, module, DELEGATE))
        else:
            found[index] = Call(Operation(operator, module, kind_of(operator, ())))
    return found


@dataclass
class _Origin:
    """Where a node comes from: its module, and the classes of the modules around it.

    Attributes:
        kind: of all that has no module of its own, in branches that replace one operator.
    """

    path: str = ""
    classes: tuple[str, ...] = ()
    shift: int = 0
    kind: str = ""


@dataclass
class _Reader:
    program: ExportedProgram
    chain: Chain
    matrices: Mapping[str, LayerQuantSpec]
    layers: str
    within: str = ""
    weights: dict[str, int] = field(default_factory=dict)
    """Name of a weight -> its bytes."""

    def calls(self) -> dict[int, Call]:
        """Instruction -> its call, for all nodes that were emitted as what is there."""
        self._outer = GraphWeights(self.program)
        return dict(self._graph(self.program.graph_module, _Origin(), 0))

    def _graph(
        self, module: fx.GraphModule, around: _Origin, start: int
    ) -> Iterator[tuple[int, Call]]:
        """Emission numbers the instructions of a branch from its ``start``."""
        done = start
        for node in module.graph.nodes:
            if node.op != "call_function":
                continue
            if str(node.target) == "cond":
                begins, done = self.chain.branches(done)
                branches = branches_of(node, module)
                inner = replace(self._origin(node, around), kind=_replaced_kind(branches))
                for branch, begin in zip(branches, begins, strict=True):
                    yield from self._graph(branch, inner, begin)
                continue
            index, lowered = start + node.meta.get(HANDLE, 0), delegate_of(node, module)
            emitted, name = self.chain.operators.get(index), operator_name(node.target)
            if lowered is not None and emitted == DELEGATE_CALL:
                # Weights that a delegate is given as inputs.
                read = self._read(self._outer, node)
                self.weights |= {key: weight.bytes for key, weight in read.items()}
                yield index, self._delegate(lowered, self._origin(node, around))
            elif lowered is None and name and emitted == name:
                yield index, Call(self._operation(node, name, self._outer, around))
            else:
                continue
            done = index + 1

    def _delegate(self, lowered: Any, around: _Origin) -> Call:
        graph = getattr(lowered, "original_module", None)
        inside: tuple[Operation, ...] = ()
        if isinstance(graph, ExportedProgram):
            weights = GraphWeights(graph, self.layers, around.shift)
            inside = tuple(
                self._operation(node, operator_name(node.target), weights, around)
                for node in graph.graph.nodes
                if node.op == "call_function"
                and operator_name(node.target)
                and node not in weights.fixed
            )
        paths = [one.module for one in inside] or [around.path]
        return Call(Operation(lowered.backend_id, _common(paths), DELEGATE), inside)

    def _operation(
        self, node: fx.Node, name: str, weights: GraphWeights, around: _Origin
    ) -> Operation:
        origin = self._origin(node, around)
        read = self._read(weights, node)
        matrix = any(weight.parameter and weight.dim > 1 for weight in read.values())
        if not origin.path and read:
            # Passes that replace several nodes by one keep no path.
            origin = replace(origin, path=module_of_weight(next(iter(read))))
        sizes = {key: weight.bytes for key, weight in read.items()}
        size, choice = sum(sizes.values()), self.matrices.get(origin.path)
        # With outlier columns in float a module has two products.
        if choice is not None and matrix and not choice.outliers:
            size = choice.bytes + sum(sizes[key] for key in read if key.endswith(".bias"))
            first, *others = sizes
            sizes = {first: size, **dict.fromkeys(others, 0)}
        self.weights |= sizes
        kind = origin.kind or kind_of(name, origin.classes, weighted=matrix)
        return Operation(name, origin.path, kind, size)

    def _origin(self, node: fx.Node, around: _Origin) -> _Origin:
        stack = (node.meta.get("nn_module_stack") or {}).values()
        stack = [(path, kind) for path, kind in stack if path and path != _NO_PATH]
        shift = int(node.meta.get(LAYER_SHIFT, around.shift))
        if not stack:
            return replace(around, shift=shift)
        classes = tuple(_class_name(kind) for _, kind in stack)
        path = self._in_model(shifted(stack[-1][0], self.layers, shift))
        return _Origin(path, classes, shift)

    def _read(self, weights: GraphWeights, node: fx.Node) -> dict[str, Weight]:
        return {self._in_model(weight.name): weight for weight in weights.of(node)}

    def _in_model(self, name: str) -> str:
        """A path or the name of a weight, as the model has it."""
        return "" if name == self.within else name.removeprefix(f"{self.within}.")


def _replaced_kind(branches: Sequence[fx.GraphModule]) -> str:
    """The kind of the operator that branches compute; '' if no branch calls just one."""
    for branch in branches:
        calls = [n for n in branch.graph.nodes if n.op == "call_function"]
        if len(calls) == 1:
            return kind_of(operator_name(calls[0].target), ())
    return ""


def _class_name(kind: Any) -> str:
    name = kind if isinstance(kind, str) else getattr(kind, "__qualname__", str(kind))
    return name.rpartition(".")[2]


def _common(paths: Sequence[str]) -> str:
    """The innermost module that contains all."""
    levels = zip(*(path.split(".") for path in paths), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
