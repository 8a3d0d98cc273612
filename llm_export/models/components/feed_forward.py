"""Feed-forward networks: gated (SwiGLU and relatives, arXiv:2002.05202) and plain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.registry import NORMS
from llm_export.models.components.xielu import XIELU
from llm_export.models.config import FeedForwardConfig


def gelu_tanh(x: Tensor) -> Tensor:
    """Tanh-approximated GELU (arXiv:1606.08415), with (1 + tanh z) / 2 written as sigmoid(2z).

    Not ``F.gelu(approximate="tanh")``: XNNPACK's delegate accepts that operator but computes the
    erf form, which differs by up to 5e-4.
    """
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def quick_gelu(x: Tensor) -> Tensor:
    """Sigmoid approximation of GELU (arXiv:1606.08415)."""
    return x * torch.sigmoid(1.702 * x)


def relu2(x: Tensor) -> Tensor:
    """Squared ReLU (Primer, arXiv:2109.08668)."""
    positive = F.relu(x)
    return positive * positive


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "relu2": relu2,
}


def _gpt_oss(gate: Tensor, up: Tensor, alpha: float = 1.702, limit: float = 7.0) -> Tensor:
    """The clamped SwiGLU of gpt-oss (arXiv:2508.10925)."""
    gate, up = gate.clamp(max=limit), up.clamp(min=-limit, max=limit)
    return (up + 1) * (gate * torch.sigmoid(gate * alpha))


GATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"gpt_oss": _gpt_oss}
"""Gated activations that are not of the form ``activation(gate) * up``."""


LEARNED: dict[str, Callable[[], nn.Module]] = {"xielu": XIELU}
"""Activations with parameters of their own."""


@dataclass(frozen=True)
class ActivatedGate:
    """``activation(gate) * up``; a class, because cached models cannot contain closures."""

    activation: Callable[[Tensor], Tensor]

    def __call__(self, gate: Tensor, up: Tensor) -> Tensor:
        return self.activation(gate) * up


def gate_function(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    if name in GATES:
        return GATES[name]
    return ActivatedGate(ACTIVATIONS[name])


class SeparateGateUp(nn.Module):
    """[B, S, D] -> gate and up, each [B, S, F], by two linears as checkpoints store them."""

    def __init__(self, hidden: int, ffn: int, bias: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden, ffn, bias=bias)
        self.up = nn.Linear(hidden, ffn, bias=bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.gate(x), self.up(x)


class FusedGateUp(nn.Module):
    """The same by one linear: its input is read (and dynamically quantized) once."""

    def __init__(self, fused: nn.Linear, ffn: int) -> None:
        super().__init__()
        self.fused = fused
        self.ffn = ffn

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = torch.split(self.fused(x), [self.ffn, self.ffn], dim=-1)
        return gate, up


def inner_norm(config: FeedForwardConfig) -> nn.Module | None:
    """[B, S, F] -> [B, S, F] between the activation and the last linear."""
    norm = config.inner_norm
    return None if norm is None else NORMS.get(norm.kind)(config.size, norm)


def before_down(network: GatedFeedForward | PlainFeedForward, y: Tensor) -> Tensor:
    """The activated features as the last linear reads them."""
    if network.inner_norm is not None:
        y = network.inner_norm(y)
    return y if network.rotation is None else network.rotation(y)


class GatedFeedForward(nn.Module):
    """[B, S, D] -> [B, S, D]."""

    def __init__(self, hidden: int, config: FeedForwardConfig) -> None:
        super().__init__()
        self.gate_function = gate_function(config.activation)
        # Rows of ``up`` may be rescaled only if the gated activation is linear in ``up``.
        self.linear_in_up = config.activation not in GATES
        self.gate_up: nn.Module = SeparateGateUp(hidden, config.size, config.bias)
        self.inner_norm = inner_norm(config)
        self.rotation: nn.Module | None = None  # of what ``down`` reads; see transforms.rotate
        self.down = nn.Linear(config.size, hidden, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x)
        y = self.gate_function(gate, up)
        return self.down(before_down(self, y))


class PlainFeedForward(nn.Module):
    """[B, S, D] -> [B, S, D]: a linear, an activation, a linear."""

    def __init__(self, hidden: int, config: FeedForwardConfig) -> None:
        super().__init__()
        learned = LEARNED.get(config.activation)
        self.activation = ACTIVATIONS[config.activation] if learned is None else learned()
        self.up = nn.Linear(hidden, config.size, bias=config.bias)
        self.inner_norm = inner_norm(config)
        self.rotation: nn.Module | None = None  # of what ``down`` reads; see transforms.rotate
        self.down = nn.Linear(config.size, hidden, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.up(x))
        return self.down(before_down(self, y))
