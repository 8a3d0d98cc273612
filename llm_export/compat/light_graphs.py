"""Work that torch does each time it makes or changes a graph, and that lowering never uses.

A lowering makes hundreds of graphs. For each, torch writes and compiles Python source, though
passes interpret graphs node by node, and ExecuTorch writes some out again for log messages that
are off. For each node torch copies the whole history of the nodes that it was made from, which
nothing changes. Each decomposition looks up all composite operators once per namespace, and gives
them 12,000 rules, each by a function whose annotations take most of its time. Written for torch
2.13. The patches hold only inside the context.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._C import DispatchKey
from torch._ops import OperatorBase
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen
from torch.fx.traceback import NodeSource

Recompile = Callable[[GraphModule], Any]

_COMPOSITE: list[str] = []
"""The composite operators that have been looked up, which this process need not do again."""


@contextmanager
def light_graphs() -> Iterator[None]:
    """Context in which the source of a graph is written and compiled when it is first called or
    read, a graph as a text is short unless debug messages are on, the history of nodes is shared,
    composite operators are looked up when there are new ones, and rules of operators are set
    without evaluating annotations.
    """
    from torch._export import utils

    recompile, look_up = GraphModule.recompile, utils._materialize_cpp_cia_ops

    def deferred(self: GraphModule) -> Any:
        codegen = self._graph._codegen
        if isinstance(codegen, _PyTreeCodeGen):
            info = codegen.pytree_info
            self._in_spec, self._out_spec = info.in_spec, info.out_spec
        self.__dict__.pop("_code", None)
        kind: Any = type(self)  # each graph module has a class of its own
        kind._code, kind.forward = _Made(recompile, "_code"), _Made(recompile, "forward")
        kind.__reduce__ = _reduced
        return _Later(lambda: recompile(self))

    def looked_up() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if found != _COMPOSITE:
            look_up()
            _COMPOSITE[:] = found

    patches: list[tuple[Any, str, Any]] = [
        (GraphModule, "recompile", deferred),
        (NodeSource, "__deepcopy__", lambda self, memo: self),
        (utils, "_materialize_cpp_cia_ops", looked_up),
        (OperatorBase, "py_impl", _setting(OperatorBase.py_impl)),
    ]
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        patches.append((GraphModule, "__str__", lambda self: f"{type(self).__name__}()"))
    former = [vars(owner).get(name) for owner, name, _ in patches]
    for owner, name, patch in patches:
        setattr(owner, name, patch)
    try:
        yield
    finally:
        for (owner, name, _), plain in zip(patches, former, strict=True):
            if plain is None:
                delattr(owner, name)
            else:
                setattr(owner, name, plain)


def _setting(plain: Callable[..., Any]) -> Callable[..., Any]:
    """``py_impl`` of operators for keys that are not set yet; all else is left to torch's own."""

    def py_impl(self: Any, key: Any) -> Any:
        if type(key) is not DispatchKey or key == DispatchKey.Python or key in self.py_kernels:
            return plain(self, key)

        def set_rule(rule: Any) -> Any:
            self.py_kernels[key] = rule
            self._dispatch_cache.clear()
            return rule

        return set_rule

    return py_impl


def _reduced(module: GraphModule) -> Any:
    """As torch pickles it: source and all, which it expects to be there."""
    assert module.code
    return GraphModule.__reduce__(module)


class _Made:
    """An attribute that ``recompile`` replaces, for a graph module that is not compiled yet."""

    def __init__(self, recompile: Recompile, name: str) -> None:
        self._recompile, self._name = recompile, name

    def __get__(self, module: GraphModule | None, kind: type) -> Any:
        if module is None:
            return self
        self._recompile(module)
        return getattr(module, self._name)


class _Later:
    """What ``recompile`` returns, made when something of it is read."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
