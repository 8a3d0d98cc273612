"""What follows pooling: dense layers, a cut, and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.encoders.config import DenseConfig

_LEAST = 1e-24
"""Least square length of a vector, that of ``torch.nn.functional.normalize``."""

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}


class DenseLayers(nn.ModuleList):
    """[B, D] -> [B, D'] by linears with activations."""

    def __init__(self, configs: Sequence[DenseConfig]) -> None:
        super().__init__(nn.Linear(c.inputs, c.outputs, bias=c.bias) for c in configs)
        self.activations = [c.activation for c in configs]

    def forward(self, x: Tensor) -> Tensor:
        for linear, activation in zip(self, self.activations, strict=True):
            x = FUNCTIONS[activation](linear(x))
        return x


def normalized(x: Tensor) -> Tensor:
    """[B, D] -> vectors of length 1; zeros stay zeros."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True).clamp(min=_LEAST))
