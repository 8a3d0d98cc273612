"""A patch of ``call`` of ExecuTorch's ``ExportPass``, which traces a graph anew.

A pass that overrides none of the hooks below changes nothing while it traces. Written for
executorch 1.5. The patch holds only inside the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.fx import GraphModule

HOOKS = (
    "ExportInterpreter", "ExportTracer", "call_cond", "call_delegate", "call_getitem",
    "call_map", "call_operator", "call_scan", "call_size_operator", "call_size_operator_all",
    "call_submodule", "call_sym", "call_while",
    "on_attr", "output", "placeholder",
)  # fmt: skip
"""Methods that a pass overrides to change nodes while tracing."""

Call = Callable[[Callable[[Any, "GraphModule"], Any], Any, "GraphModule"], Any]


def call_owner() -> Any:
    """The class that ``ExportPass`` has its ``call`` from."""
    from executorch.exir.pass_base import ExportPass

    return next(kind for kind in ExportPass.__mro__ if "call" in kind.__dict__)


def works_by_tracing(one: Any) -> bool:
    """Whether a pass overrides a tracing hook."""
    from executorch.exir.pass_base import ExportPass

    return any(getattr(type(one), h) is not getattr(ExportPass, h) for h in HOOKS)


def unchanged(module: GraphModule) -> Any:
    """The result of a pass that did not change the graph."""
    from torch.fx.passes.infra.pass_base import PassResult

    return PassResult(module, False)


@contextmanager
def export_pass_calls_by(call: Call) -> Iterator[None]:
    """Context in which passes call ``call(plain, self, module)``."""
    owner = call_owner()
    plain = owner.call
    owner.call = lambda self, graph_module: call(plain, self, graph_module)
    try:
        yield
    finally:
        owner.call = plain
