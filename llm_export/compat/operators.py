"""Operators in graphs: their names, and those that ExecuTorch defines on import.

fx nodes call ``OpOverload`` of torch, or an operator of the edge dialect around one; neither class
is public. Written for torch 2.13 and executorch 1.5.
"""

from __future__ import annotations

from typing import Any


def plain_operator(target: Any) -> Any:
    """torch's operator that a node calls, unwrapped from the edge dialect; other targets are
    unchanged.
    """
    import torch

    return target if isinstance(target, torch._ops.OpOverload) else getattr(target, "_op", target)


def operator_name(target: Any) -> str:
    """ "namespace::name" of an operator, also of the edge dialect; '' of other targets."""
    schema = _schema(target)
    return "" if schema is None else str(schema.name)


def argument_names(target: Any) -> list[str]:
    """The names of an operator's arguments in their order; [] of other targets."""
    schema = _schema(target)
    return [] if schema is None else [argument.name for argument in schema.arguments]


def _schema(target: Any) -> Any:
    own = getattr(target, "_schema", None)
    return own or getattr(getattr(target, "_op", None), "_schema", None)


def size_operator(name: str) -> Any:
    """An operator on sizes that is built into the runtime: "add", "gt", ..."""
    from executorch.exir.dialects._ops import ops

    return getattr(ops.backend.executorch_prim, name).Scalar


def number_operator() -> Any:
    """``Tensor.item`` in a graph: reads a size from a tensor with one element."""
    import torch

    return torch.ops.aten._local_scalar_dense.default


def define_quantized_operators() -> None:
    """Define ``quantized_decomposed::embedding_byte``, ``mixed_linear`` and their like, as
    ExecuTorch does when it imports its patterns of quantization."""
    import executorch.exir.passes._quant_patterns_and_replacements  # noqa: F401


def define_decomposed_quantization() -> None:
    """Define torch's ``quantized_decomposed`` operators of quantizing and dequantizing."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401
