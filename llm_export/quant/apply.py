"""Store quantized weights in a model as torchao tensors, which torch.export can trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.torchao_tensors import integer_tensor, is_torchao
from llm_export.quant.grid import Grid
from llm_export.quant.schemes import SCHEMES


def set_weight(module: nn.Module, grid: Grid, scheme: str, *, in_kernel: bool = False) -> None:
    """Replace the weight of a linear or an embedding by quantized integers and scales.

    Args:
        in_kernel: group offsets become zero points of the tensor, in fractions of a step; else
            they are further columns: see ``offset_columns``.
    """
    module.weight = nn.Parameter(_tensor(grid, scheme, in_kernel), requires_grad=False)


def _tensor(grid: Grid, scheme: str, in_kernel: bool) -> Any:
    zeros = torch.zeros_like(grid.scale, dtype=torch.int8)
    if in_kernel and grid.offset is not None:
        # As kernels keep them: for integers from zero up.
        low = grid.spec.low
        zeros = (-grid.offset / grid.scale - low).to(grid.spec.scale_dtype).float() + low
    group = grid.q.shape[1] // grid.scale.shape[1]
    dynamic = SCHEMES[scheme].dynamic_activations
    return integer_tensor(grid.q, grid.scale, zeros, grid.spec.bits, group, dynamic)


def is_quantized(weight: Tensor) -> bool:
    data = weight.data if isinstance(weight, nn.Parameter) else weight
    return is_torchao(data) or is_torchao(weight)
