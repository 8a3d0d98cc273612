"""RMS norm with a gate, as the outputs of recurrent mixers have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.norm import PlainRMSNorm
from llm_export.models.config import NormConfig


class GatedRMSNorm(nn.Module):
    """[..., G, C] and gate [..., G, C] -> [..., G, C], each of G parts normed apart.

    Args:
        weights: size of the weight: C (shared by the parts) or G * C.
        gate_first: whether the gate, through SiLU, is applied before the norm.
        parts: in how many the weight is divided: G, or 1 for a weight that they share.
    """

    def __init__(self, weights: int, eps: float, gate_first: bool, parts: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(weights))
        self.gate_first = gate_first
        self.norm = PlainRMSNorm(weights // parts, NormConfig(eps))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        dtype = gate.dtype
        x, gate = x.float(), F.silu(gate.float())
        x = self.norm(x * gate if self.gate_first else x)
        x = x * self.weight.float().view(-1, x.shape[-1])
        return (x if self.gate_first else x * gate).to(dtype)
