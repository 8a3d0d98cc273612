"""Gated feed-forward network (SwiGLU, arXiv:2002.05202)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu}


class SeparateGateUp(nn.Module):
    """[B, S, D] -> gate and up, each [B, S, F], by two matrices as checkpoints store them."""

    def __init__(self, hidden: int, ffn: int, bias: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, ffn, bias=bias)
        self.up = nn.Linear(hidden, ffn, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gate(x), self.up(x)


class FusedGateUp(nn.Module):
    """The same by one matrix: its input is read (and dynamically quantized) once."""

    def __init__(self, fused: nn.Linear, ffn: int) -> None:
        super().__init__()
        self.fused = fused
        self.ffn = ffn

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = torch.split(self.fused(x), [self.ffn, self.ffn], dim=-1)
        return gate, up


class GatedFeedForward(nn.Module):
    """[B, S, D] -> [B, S, D]."""

    def __init__(self, hidden: int, ffn: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.gate_up: nn.Module = SeparateGateUp(hidden, ffn, bias)
        self.down = nn.Linear(ffn, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x)
        return self.down(self.activation(gate) * up)
