"""ExecuTorch's delegates as modules, and the backends behind them.

A delegate can be made only by partitioning; here one is made with another layer's weights by the
backend's own ``preprocess``. Written for executorch 1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def preprocess(lowered: Any, program: ExportedProgram) -> Any:
    """Run a delegate's own backend on a program; returns a ``PreprocessResult``.

    Args:
        lowered: a ``LoweredBackendModule``.
    """
    from executorch.exir.backend.backend_details import BackendDetails

    backends = {kind.__name__: kind for kind in BackendDetails.__subclasses__()}
    return backends[lowered.backend_id].preprocess(program, lowered.compile_specs)


def lowered_module(
    lowered: Any, program: ExportedProgram, payload: bytes, data: Any, meta: Any
) -> Any:
    """A module like ``lowered``, for another program and its preprocess result."""
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    made = LoweredBackendModule(
        edge_program=program,
        backend_id=lowered.backend_id,
        processed_bytes=payload,
        compile_specs=lowered.compile_specs,
        named_data_store_output=data,
    )
    made.meta = meta
    return made


def rewrite_payloads(
    program: ExportedProgram, backend_id: str, rewrite: Callable[[bytes], bytes]
) -> None:
    """Replace what a backend's compiler made of each of its delegates in a program, in place."""
    for module in program.graph_module.modules():
        if getattr(module, "backend_id", None) == backend_id:
            lowered: Any = module
            lowered._processed_bytes = rewrite(lowered.processed_bytes)
