"""A backend's delegate for another layer's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram


def with_constants(program: ExportedProgram, values: Mapping[str, Tensor]) -> ExportedProgram:
    """The same graph over other values of some constants; nothing is copied."""
    made = copy.copy(program)
    made._state_dict = {n: as_is(values.get(n, t), t) for n, t in program.state_dict.items()}
    made._constants = {n: values.get(n, t) for n, t in program.constants.items()}
    return made


def as_is(value: Tensor, former: Tensor) -> Tensor:
    """As a parameter, if what it replaces was one."""
    if isinstance(former, nn.Parameter) and not isinstance(value, nn.Parameter):
        return nn.Parameter(value, requires_grad=False)
    return value


def renewed(lowered: Any) -> Any:
    """The same delegate as a module of its own."""
    result = (lowered.processed_bytes, lowered.named_data_store_output)
    return _module(lowered, lowered.original_module, *result, lowered.meta)


def relowered(lowered: Any, values: Mapping[str, Tensor]) -> Any:
    """What the delegate's own backend makes of its part of the graph with other values.

    Args:
        lowered: an ExecuTorch LoweredBackendModule.
        values: constants by name.
    """
    from executorch.exir.backend.backend_details import BackendDetails

    backends = {kind.__name__: kind for kind in BackendDetails.__subclasses__()}
    program = with_constants(lowered.original_module, values)
    result = backends[lowered.backend_id].preprocess(program, lowered.compile_specs)
    meta = {"debug_handle_map": result.debug_handle_map}
    return _module(lowered, program, result.processed_bytes, result.data_store_output, meta)


def _module(lowered: Any, program: ExportedProgram, payload: bytes, data: Any, meta: Any) -> Any:
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
