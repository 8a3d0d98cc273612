"""Avoid repeated decompositions while lowering.

``to_edge_transform_and_lower`` makes a graph functional. For each partitioner it decomposes the
graph, except for the operators that the partitioner keeps whole, marks those operators, decomposes
again, and restores them. Each decomposition retraces the whole graph; for a decoder all but the
first change nothing. ExecuTorch 1.5 skips the second call for partitioners that select nodes by
operator alone; this module skips it for all partitioners.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from torch import fx
from torch.export import ExportedProgram

from llm_export.compat.operators import plain_operator
from llm_export.compat.run_decompositions import Plain, run_decompositions_by


@contextmanager
def decomposed_once(*, together: bool) -> Iterator[None]:
    """Context in which ``run_decompositions`` returns the program unchanged if an earlier call has
    already applied all decompositions.

    Args:
        together: make a program functional during its first decomposition. Only valid if no
            partitioner reads the program in between.
    """
    left: WeakKeyDictionary[ExportedProgram, set[Hashable]] = WeakKeyDictionary()

    def run(plain: Plain, program: ExportedProgram, table: Mapping[Any, Any]) -> ExportedProgram:
        found = _decomposable(program, table)
        if program in left and found <= left[program]:
            return program
        if together and not table:
            return program
        made = plain(program, table)
        # If an operator is still there after its rule ran, the same rule cannot decompose it.
        left[made] = _decomposable(made, table)
        return made

    with run_decompositions_by(run):
        yield


def _decomposable(program: ExportedProgram, table: Mapping[Any, Any]) -> set[Hashable]:
    """The operators of a graph and its subgraphs that have a decomposition rule, with their
    rules.
    """
    found: set[Hashable] = set()
    for module in program.graph_module.modules():
        if not isinstance(module, fx.GraphModule):
            continue
        for node in module.graph.nodes:
            target = plain_operator(node.target)
            if node.op == "call_function" and target in table:
                found.add((target, _rule(table[target])))
    return found


def _rule(rule: Any) -> Hashable:
    """A key that is equal for the same rule of two decomposition tables. torch creates the rules
    of composite operators anew for each table, as a function bound to the operator.
    """
    if isinstance(rule, partial):
        return (getattr(rule.func, "__code__", rule.func), repr(rule.args), repr(rule.keywords))
    return id(rule)
