"""Softplus without the comparison that PyTorch's has, which few delegates take."""

from __future__ import annotations

import torch
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), which neither overflows nor loses small values."""
    return torch.relu(x) + torch.log1p(torch.exp(-torch.abs(x)))
