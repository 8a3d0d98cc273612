"""xIELU, an activation whose curvatures are learned (arXiv:2411.13010)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class XIELU(nn.Module):
    """[..., F] -> [..., F]: a parabola above zero, an integrated ELU below.

    With p = alpha_p and n = alpha_n + beta::

        f(x) = p x^2 + beta x                  for x > 0
        f(x) = n (e^x - 1 - x) + beta x        for x <= 0

    Each half is zero where the other applies, so they are added instead of selected: a delegate
    that has no selection takes the whole feed-forward.

    Attributes:
        alpha_p, alpha_n: [1], softplus of what checkpoints hold.
        beta: [1], the slope at zero.
        eps: [1], by which checkpoints guard e^x - 1 against cancellation near zero. Kept to be
            written back; this sum does not need it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alpha_p = nn.Parameter(torch.full((1,), 0.8))
        self.alpha_n = nn.Parameter(torch.full((1,), 0.3))
        self.beta = nn.Parameter(torch.full((1,), 0.5))
        self.eps = nn.Parameter(torch.full((1,), -1e-6))

    def forward(self, x: Tensor) -> Tensor:
        above, below = x.clamp(min=0.0), x.clamp(max=0.0)
        bent = torch.exp(below) - 1.0 - below
        return self.alpha_p * (above * above) + (self.alpha_n + self.beta) * bent + self.beta * x
