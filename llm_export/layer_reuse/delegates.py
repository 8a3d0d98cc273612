"""Rebuild a backend's delegate with another layer's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from llm_export.compat.exported_program import over
from llm_export.compat.lowered_module import lowered_module, preprocess


def with_constants(program: ExportedProgram, values: Mapping[str, Tensor]) -> ExportedProgram:
    """The same program with some constants replaced; nothing is copied."""
    state = {n: as_is(values.get(n, t), t) for n, t in program.state_dict.items()}
    return over(program, state, {n: values.get(n, t) for n, t in program.constants.items()})


def as_is(value: Tensor, former: Tensor) -> Tensor:
    """Wrap as a parameter if the replaced tensor is one."""
    if isinstance(former, nn.Parameter) and not isinstance(value, nn.Parameter):
        return nn.Parameter(value, requires_grad=False)
    return value


def renewed(lowered: Any) -> Any:
    """A copy of the delegate as a new module."""
    result = (lowered.processed_bytes, lowered.named_data_store_output)
    return lowered_module(lowered, lowered.original_module, *result, lowered.meta)


def relowered(lowered: Any, values: Mapping[str, Tensor]) -> Any:
    """Run the delegate's own backend on its subgraph with other constants.

    Args:
        lowered: an ExecuTorch LoweredBackendModule.
        values: constants by name.
    """
    program = with_constants(lowered.original_module, values)
    result = preprocess(lowered, program)
    meta = {"debug_handle_map": result.debug_handle_map}
    made = (result.processed_bytes, result.data_store_output, meta)
    return lowered_module(lowered, program, *made)
