"""Decompose a graph once, where ExecuTorch does so again before and after each partitioner.

``to_edge_transform_and_lower`` makes a graph functional, and for each partitioner decomposes it
with the operators left out that the partitioner wants whole, marks those, decomposes again, and
restores them. A decomposition traces the whole graph anew, and for a decoder all but the first
find nothing to do. ExecuTorch 1.5 skips such a call for partitioners that choose by operator
alone; here the same is done for all.
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
    """While it is open, ``run_decompositions`` returns a program as it is if a former call has
    left nothing for this one.

    Args:
        together: make a program functional along with its first decomposition. Only where no
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
        # What a table has a rule for and is still there, the same rule will not take apart.
        left[made] = _decomposable(made, table)
        return made

    with run_decompositions_by(run):
        yield


def _decomposable(program: ExportedProgram, table: Mapping[Any, Any]) -> set[Hashable]:
    """The operators of a graph, and of those inside of it, that a table has a rule for, each with
    its rule."""
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
    """Equal for the same rule of two tables: torch makes those of composite operators anew for
    each table, as a function with the operator bound to it."""
    if isinstance(rule, partial):
        return (getattr(rule.func, "__code__", rule.func), repr(rule.args), repr(rule.keywords))
    return id(rule)
