"""Run XNNPACK's graph passes once per kind of partition, and only if they change something.

The eighteen passes depend on a partition's graph but not on its weights. A decoder has hundreds of
partitions but only about a dozen kinds, because layers repeat. So the passes run once per kind and
the result is reused with other constants. Two passes search for patterns that take a second to
build, and most passes retrace the whole partition even if they change nothing; both are skipped
when possible.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, fx
from torch.export import ExportedProgram

from llm_export.compat.export_pass import export_pass_calls_by, unchanged, works_by_tracing
from llm_export.compat.xnnpack_pass_manager import xnnpack_passes_by
from llm_export.layer_reuse.delegates import with_constants
from llm_export.layer_reuse.layer_graphs import constant_of, constants_of


@contextmanager
def reused() -> Iterator[None]:
    """Context in which XNNPACK's preprocessing reuses the transformed graphs of equal
    partitions.
    """
    done: dict[Hashable, tuple[ExportedProgram, list[str]]] = {}

    def run(plain: Any, program: ExportedProgram, passes: Any) -> ExportedProgram:
        names = list(constants_of(program).values())
        key = (tuple(passes or ()), structure(program))
        if key in done:
            passed, former = done[key]
            now = dict(zip(former, (constant_of(program, n) for n in names), strict=True))
            return with_constants(passed, now)
        with only_where_changed(program.graph_module):
            passed = matching(plain(program, passes), program).transform()
        if _only_takes(passed, program):
            done[key] = (passed, names)
        return passed

    with xnnpack_passes_by(run):
        yield


ANCHORS = {
    "ConvertToSDPAPass": ("_softmax", "logical_not", "any.dim"),
    "ConvertToUpsampleBilinear2d": ("upsample_bilinear2d",),
}
"""Pass -> operators that all occur in each of its patterns. XNNPACK's own attention has a softmax,
but tests no row for being empty."""


def matching(manager: Any, program: ExportedProgram) -> Any:
    """The pass manager without passes whose patterns cannot occur in the program."""
    targets = " ".join(str(n.target) for n in program.graph.nodes if n.op == "call_function")
    manager.passes = [
        one for one in manager.passes
        if all(anchor in targets for anchor in ANCHORS.get(one.__name__, ()))
    ]  # fmt: skip
    return manager


@contextmanager
def only_where_changed(module: fx.GraphModule) -> Iterator[None]:
    """Context in which a pass returns its graph unchanged if it has not modified the graph and
    does not work by retracing. ``module`` is the graph that the first pass receives.
    """
    last = [_written(module)]

    def call(plain: Any, one: Any, graph_module: fx.GraphModule) -> Any:
        if not works_by_tracing(one) and _written(graph_module) == last[0]:
            return unchanged(graph_module)
        result = plain(one, graph_module)
        last[0] = _written(result.graph_module)
        return result

    with export_pass_calls_by(call):
        yield


def _written(module: fx.GraphModule) -> Hashable:
    nodes = module.graph.nodes
    return tuple(
        (n.op, str(n.target), repr(n.args), repr(n.kwargs), "val" in n.meta) for n in nodes
    )


def structure(program: ExportedProgram) -> Hashable:
    """A key that is equal for programs that differ only in names and values of constants."""
    names = constants_of(program)
    places: dict[fx.Node, int] = {}

    def described(value: Any) -> Any:
        return ("node", places[value]) if isinstance(value, fx.Node) else repr(value)

    parts: list[Hashable] = []
    for node in program.graph.nodes:
        arguments = fx.node.map_aggregate(
            (node.args, tuple(sorted(node.kwargs.items()))), described
        )
        target = "" if node.op == "placeholder" else str(node.target)
        custom = repr(node.meta.get("custom"))
        parts.append((node.op, target, repr(arguments), _shapes(node.meta.get("val")), custom))
        if node.op == "placeholder":
            parts.append(node.name in names)
        places[node] = len(places)
    return tuple(parts)


def _shapes(value: Any) -> Hashable:
    if isinstance(value, (list, tuple)):
        return tuple(_shapes(v) for v in value)
    if isinstance(value, Tensor):
        return (str(value.dtype), repr(tuple(value.shape)), repr(value.stride()))
    return repr(value)


def _only_takes(passed: ExportedProgram, program: ExportedProgram) -> bool:
    """Whether all constants still belong to the program and none was computed from them."""
    before = {**program.constants, **program.state_dict}
    return all(
        name in before and constant_of(passed, name) is before[name]
        for name in constants_of(passed).values()
    )
