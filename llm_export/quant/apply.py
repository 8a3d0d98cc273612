"""Put grids into a model, as torchao's tensors, which export knows how to trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from llm_export.quant.grid import Grid
from llm_export.quant.schemes import SCHEMES


def set_weight(module: nn.Module, grid: Grid, scheme: str) -> None:
    """Replace the weight of a linear or an embedding by the grid's integers and scales.

    Offsets of the grid are not the tensor's: see ``CorrectedLinear``.
    """
    module.weight = nn.Parameter(_tensor(grid, scheme), requires_grad=False)


def _tensor(grid: Grid, scheme: str) -> Any:
    from torchao.quantization.quantize_.workflows import IntxUnpackedToInt8Tensor

    dynamic = SCHEMES[scheme].dynamic_activations
    return IntxUnpackedToInt8Tensor(
        grid.q,
        grid.scale,
        torch.zeros_like(grid.scale, dtype=torch.int8),
        getattr(torch, f"int{grid.spec.bits}"),
        (1, grid.q.shape[1] // grid.scale.shape[1]),
        torch.float32,
        "int8_asym_per_token" if dynamic else None,
    )


def is_quantized(weight: Tensor) -> bool:
    from torchao.utils import TorchAOBaseTensor

    data = weight.data if isinstance(weight, nn.Parameter) else weight
    return isinstance(data, TorchAOBaseTensor) or isinstance(weight, TorchAOBaseTensor)
