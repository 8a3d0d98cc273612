"""Count which operators of a lowered program were delegated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_export.compat.operators import operator_name
from llm_export.errors import PostConditionError
from llm_export.pipeline.artifacts import Delegation

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# Matrix products: linears or attention outside of delegates and custom operators.
HEAVY = ("linear", "addmm", "mm", "bmm", "matmul", "baddbmm", "scaled_dot_product_attention")


def delegation_of(programs: Mapping[str, ExportedProgram]) -> Delegation:
    """Count over all methods, whose programs are partitioned."""
    from executorch.devtools.backend_debug import get_delegation_info

    outside: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    nodes = 0
    for program in programs.values():
        nodes += get_delegation_info(program.graph_module).num_delegated_nodes
        for graph_module in _graphs(program.graph_module):
            for node in graph_module.graph.nodes:
                name = _operator(node)
                if name is not None:
                    outside[name] += 1
                if "executorch_call_delegate" in str(node.target):
                    taken[getattr(graph_module, node.args[0].name).backend_id] += 1
    return Delegation(sum(taken.values()), nodes, dict(outside.most_common()), (), (), dict(taken))


def _graphs(module: Any) -> Iterator[Any]:
    """A method's graph. For an operator that a backend has replaced by a branch, also the branch
    with the original operator, which is the last one.
    """
    yield module
    for node in module.graph.nodes:
        if str(node.target) == "cond":
            yield getattr(module, node.args[2].target)


def _operator(node: Any) -> str | None:
    """namespace.name of an operator call; None for bookkeeping nodes and delegate calls."""
    if node.op != "call_function" or "executorch_call_delegate" in str(node.target):
        return None
    target = node.target
    if "auto_functionalized" in str(target):
        target = node.args[0]
    return operator_name(target).replace("::", ".") or None


def with_program_facts(delegation: Delegation, program: Any) -> Delegation:
    plans = program.executorch_program.execution_plan
    operators = {
        f"{o.name}.{o.overload}" if o.overload else o.name for p in plans for o in p.operators
    }
    backends = {d.id for p in plans for d in p.delegates}
    return replace(delegation, backends=tuple(sorted(backends)), operators=tuple(sorted(operators)))


def require_delegated(outside: dict[str, int], backend: str) -> None:
    """Raises PostConditionError if a matrix product is not in a delegate."""
    left = {name: n for name, n in outside.items() if name.split(".")[1] in HEAVY}
    if left:
        listed = ", ".join(f"{n} x {name}" for name, n in left.items())
        raise PostConditionError(
            f"{backend} did not take {listed}: they would run on slow reference kernels",
            where="delegation",
            fix="another quant or runtime option, or backend.allow_undelegated=true to accept it",
        )
