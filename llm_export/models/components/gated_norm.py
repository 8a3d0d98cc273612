"""RMS norm with a gate, as the outputs of recurrent mixers have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GatedRMSNorm(nn.Module):
    """[..., G, C] and gate [..., G, C] -> [..., G, C], each of G parts normed apart.

    Args:
        weights: size of the weight: C (shared by the parts) or G * C.
        gate_first: whether the gate, through SiLU, is applied before the norm.
    """

    def __init__(self, weights: int, eps: float, gate_first: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(weights))
        self.eps, self.gate_first = eps, gate_first

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        dtype = gate.dtype
        x, gate = x.float(), F.silu(gate.float())
        x = x * gate if self.gate_first else x
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        x = x * self.weight.float().view(-1, x.shape[-1])
        return (x if self.gate_first else x * gate).to(dtype)
