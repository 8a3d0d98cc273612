"""Insert ``torch.cond`` branches into a graph that is ready for memory planning.

A branch captured with the model is traced, decomposed and lowered once per layer. Here the branch
graph is lowered separately once, and every occurrence of an operator is replaced by it.

A branch writes its result to a preallocated tensor and returns nothing, because the memory planned
inside a branch is reused by other tensors after the branch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import fx
from torch.fx.node import Argument

from llm_export.compat.operators import number_operator, size_operator
from llm_export.compat.tensor_specs import allocation, spec_of, spec_without_base
from llm_export.layer_reuse.tensor_specs import SpecCopies


class Branch:
    """A branch's graph under construction.

    Args:
        inputs: by name, nodes of the graph that the branch will be part of.
    """

    def __init__(self, inputs: Mapping[str, fx.Node]) -> None:
        self.graph = fx.Graph()
        self.inputs: dict[str, fx.Node] = {}
        self._modules: dict[str, object] = {}
        self._specs = SpecCopies()
        for name, node in inputs.items():
            made = self.graph.placeholder(name)
            made.meta = {**node.meta, "spec": spec_without_base(node.meta.get("spec"))}
            self.inputs[name] = made

    def call(self, like: fx.Node, args: tuple[Any, ...], out: fx.Node) -> None:
        """Call the same operator with other arguments and write the result to ``out``."""
        made = self.graph.call_function(like.target, args, {"out": out})  # type: ignore[arg-type]
        made.meta = {**like.meta, "spec": out.meta["spec"]}

    def call_new(self, target: Any, args: tuple[Any, ...], example: Any) -> fx.Node:
        """See the function."""
        return call_new(self.graph, target, args, example)

    def put(self, module: fx.GraphModule, out: fx.Node) -> None:
        """Copy a whole graph, with placeholders replaced by inputs of the same name, and write its
        only result to ``out``.
        """
        env: dict[fx.Node, fx.Node] = {}
        for node in module.graph.nodes:
            if node.op == "placeholder":
                env[node] = self.inputs[node.name]
                self._specs.known(node.meta.get("spec"), env[node].meta.get("spec"))
            elif node.op == "output":
                self._write_to(env[node.args[0][0]], out)
            else:
                env[node] = self._copied(node, module, env)

    def _copied(self, node: fx.Node, module: fx.GraphModule, env: Any) -> fx.Node:
        if node.op == "get_attr":
            self._modules[str(node.target)] = getattr(module, str(node.target))
        made = self.graph.node_copy(node, lambda n: env[n])
        made.meta.pop("from_node", None)
        if "spec" in node.meta:
            made.meta["spec"] = self._specs.of(node.meta["spec"])
        return made

    def _write_to(self, result: fx.Node, out: fx.Node) -> None:
        own = result.kwargs["out"]
        assert isinstance(own, fx.Node), "the last operator writes what it makes"
        result.kwargs = {"out": out}
        result.meta["spec"] = out.meta["spec"]
        self.graph.erase_node(own)

    def module(self) -> fx.GraphModule:
        self.graph.output(()).meta.update(val=(), spec=())
        return fx.GraphModule(self._modules, self.graph)


def put_branches(
    module: fx.GraphModule,
    at: fx.Node,
    condition: fx.Node,
    inputs: Mapping[str, fx.Node],
    then: fx.GraphModule,
    otherwise: fx.GraphModule,
    out: fx.Node,
) -> None:
    """Replace operator ``at``, which writes to ``out``, by a branch: one of two graphs that do.

    Args:
        condition: the node of a bool.
        inputs: of both branches, in their order; ``out`` is one.
    """
    out.meta.update(val=at.meta["val"], spec=at.meta["spec"])
    chosen = insert_branches(module, at, condition, inputs, then, otherwise)
    replace_by(at, out, {chosen})


def insert_branches(
    module: fx.GraphModule,
    at: fx.Node,
    condition: fx.Node,
    inputs: Mapping[str, fx.Node],
    then: fx.GraphModule,
    otherwise: fx.GraphModule,
) -> fx.Node:
    """Insert a branch before ``at``, and return it."""
    graph, number = module.graph, sum(1 for _ in module.named_children())
    with graph.inserting_before(at):
        nodes: list[Argument] = []
        for branch in (then, otherwise):
            name, number = f"branch_{number}", number + 1
            module.add_submodule(name, branch)
            nodes.append(graph.get_attr(name))
        values: tuple[Argument, ...] = (condition, *nodes, tuple(inputs.values()))
        chosen = graph.call_function(torch.ops.higher_order.cond, values)
        # A profile finds by the others which module of the model the branches compute.
        chosen.meta = {**at.meta, "val": (), "spec": []}
    return chosen


def replace_by(at: fx.Node, out: fx.Node, writers: Collection[fx.Node]) -> None:
    """Remove operator ``at``: ``writers`` write what it wrote to ``out``."""
    at.replace_all_uses_with(out, delete_user_cb=lambda user: user not in writers)
    at.graph.erase_node(at)


_SIZES: dict[str, Callable[..., object]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv,
    "gt": lambda *_: None,  # comparing sizes would add a guard on them
}  # fmt: skip


def computed(graph: fx.Graph, name: str, *args: fx.Node | int) -> fx.Node:
    """Insert one of the runtime's built-in operators on sizes at the graph's insertion point."""
    made = graph.call_function(size_operator(name), args)
    values = (a.meta["val"] if isinstance(a, fx.Node) else a for a in args)
    made.meta = {"val": _SIZES[name](*values), "spec": None}
    return made


def call_new(graph: fx.Graph, target: Any, args: tuple[Any, ...], example: Any) -> fx.Node:
    """Call an operator with new memory for its result, shaped like ``example``, and return the
    result. An operator that writes to its arguments has one too, which may be ignored.
    """
    meta = {"val": example, "spec": spec_of(example)}
    out = graph.call_function(allocation(), ((tuple(example.shape), example.dtype),))
    out.meta = dict(meta)
    made = graph.call_function(target, args, {"out": out})
    made.meta = meta
    return made


def first_seen(graph: fx.Graph, table: fx.Node, like: fx.Node, hidden: float) -> fx.Node:
    """Insert operators that find the first value of the first row of ``table`` above ``hidden``.

    Args:
        table: [S, T], T fixed.
        like: a node of a size that is known only at run time.
    """
    aten, whole = torch.ops.aten, table.meta["val"]
    row = call_new(
        graph, aten.select_copy.int_out, (table, 0, 0), whole.new_empty((whole.shape[1],))
    )
    # All that is seen becomes equal, and the operator takes the first of equals.
    row = call_new(graph, aten.clamp.out, (row, None, hidden), row.meta["val"])
    at = whole.new_empty((), dtype=torch.int64)
    at = call_new(graph, aten.argmax.out, (row, 0), at)
    number = graph.call_function(number_operator(), (at,))
    number.meta = {"val": like.meta["val"].node.shape_env.create_unbacked_symint(), "spec": None}
    return number
