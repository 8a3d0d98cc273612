"""Work that torch does each time it makes or changes a graph, and that lowering never uses.

A lowering makes hundreds of graphs. For each, torch writes and compiles Python source, though
passes interpret graphs node by node. For each node it copies the whole history of the nodes that
it was made from, which nothing changes. Each decomposition looks up all composite operators once
per namespace. Written for torch 2.13. The patches hold only inside the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen
from torch.fx.traceback import NodeSource


@contextmanager
def light_graphs() -> Iterator[None]:
    """Context in which the source of a graph is written and compiled when it is first called or
    read, the history of nodes is shared, and composite operators are looked up when there are new
    ones.
    """
    from torch._export import utils

    recompile, code, look_up = (
        GraphModule.recompile,
        GraphModule.code,
        utils._materialize_cpp_cia_ops,
    )
    known: list[str] = []

    def deferred(self: GraphModule) -> Any:
        codegen = self._graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            self._in_spec, self._out_spec = (
                codegen.pytree_info.in_spec,
                codegen.pytree_info.out_spec,
            )
        kind: Any = type(self)
        kind.forward = _compiled_first(recompile)
        return _Later(lambda: recompile(self))

    def written(self: GraphModule) -> Any:
        if getattr(type(self).forward, "later", False):
            recompile(self)
        return code.fget(self)  # type: ignore[attr-defined]

    def looked_up() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if found != known:
            look_up()
            known[:] = found

    GraphModule.recompile = deferred  # type: ignore[method-assign]
    GraphModule.code = property(written)  # type: ignore[assignment, method-assign]
    NodeSource.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    utils._materialize_cpp_cia_ops = looked_up
    try:
        yield
    finally:
        GraphModule.recompile = recompile  # type: ignore[method-assign]
        GraphModule.code = code  # type: ignore[method-assign]
        del NodeSource.__deepcopy__  # type: ignore[attr-defined]
        utils._materialize_cpp_cia_ops = look_up


def _compiled_first(recompile: Callable[[GraphModule], Any]) -> Any:
    def forward(self: GraphModule, *args: Any, **kwargs: Any) -> Any:
        recompile(self)
        return self(*args, **kwargs)

    forward.later = True  # type: ignore[attr-defined]
    return forward


class _Later:
    """What ``recompile`` returns, made when something of it is read."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
