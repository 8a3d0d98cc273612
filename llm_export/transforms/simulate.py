"""Simulate a quantized linear with the same tensors and parts as in the program."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.quant.inputs import outlier_channels
from llm_export.quant.rounding.detect_grid import find_grid
from llm_export.quant.rounding.minmax import ROUNDER
from llm_export.quant.rules import LayerQuantSpec
from llm_export.transforms.outlier_linear import quantize_module


@torch.no_grad()
def as_quantized(weight: Tensor, choice: LayerQuantSpec, x: Tensor, keep: bool) -> Tensor:
    """[T, K] -> [T, N]: the product with a weight [N, K] rounded by min-max.

    Args:
        keep: use the grid that the weight lies on, if it does.
    """
    columns = None
    if choice.outliers:
        columns = outlier_channels({choice.name: x.abs().amax(0)}, [choice]).get(choice.name)
    grid = find_grid(weight, choice.spec_of("kept")) if keep else None
    if grid is None:
        rest = weight
        if columns is not None:
            rest = weight.clone()
            rest[:, columns] = 0
        grid = ROUNDER.round(rest, choice.spec)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    holder = nn.ModuleDict({"linear": linear})
    quantize_module(holder, "linear", choice, grid, columns)
    return holder["linear"](x)
