"""Attention of encoders: all texts of a batch at once, without a cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.attention_cores.base import Core, CoreShape
from llm_export.models.components.attention_cores.planners import HIDDEN
from llm_export.models.components.step import Plan, Plans, Step


class EncoderCore(Core):
    """q [B, S, H, E], k and v [B, S, K, E] -> [B, S, H, E].

    The mask of its plan is additive, [B, 1, 1 or S, S]. Explicit products: what
    ``scaled_dot_product_attention`` decomposes into has operators that delegates do not take.
    """

    def __init__(self, shape: CoreShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        return self.attend(q, k, v, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        assert sinks is None
        k, v = (self._by_head(t) for t in kept)
        q = (q * self.shape.scale).transpose(1, 2)
        scores = torch.matmul(q, k.transpose(2, 3))
        if self.shape.softcap is not None:
            scores = torch.tanh(scores / self.shape.softcap) * self.shape.softcap
        y = torch.matmul(F.softmax(scores + mask, dim=-1), v)
        return y.transpose(1, 2)

    def _by_head(self, x: Tensor) -> Tensor:
        """[B, S, K, E] -> [B, H, S, E]: each key/value head once for each head of its group."""
        group = self.shape.num_heads // self.shape.num_kv_heads
        x = x.transpose(1, 2)
        return x if group == 1 else x.repeat_interleave(group, dim=1)


class MaskPlanner(nn.Module):
    """mask [B, S] float, 1 for a text's tokens -> window -> Plan."""

    positions: Tensor

    def __init__(self, windows: Sequence[int | None], longest: int, causal: bool) -> None:
        super().__init__()
        self.windows, self.longest, self.causal = tuple(windows), longest, causal
        shape = torch.empty(longest, dtype=torch.int64)
        self.register_buffer("positions", shape, persistent=False)

    def init_buffers(self) -> None:
        self.positions = torch.arange(self.longest, device="cpu")

    def forward(self, mask: Tensor) -> tuple[Tensor, Plans]:
        """(positions [S], plans)."""
        positions = self.positions[: mask.shape[1]]
        padding = ((1 - mask) * HIDDEN)[:, None, None]
        return positions, {
            window: Plan(positions, self._hidden(padding, positions, window))
            for window in self.windows
        }

    def _hidden(self, padding: Tensor, positions: Tensor, window: int | None) -> Tensor:
        if window is None and not self.causal:
            return padding
        ahead = positions[None] - positions[:, None]
        hidden = ahead > 0 if self.causal else None
        if window is not None:
            far = (-ahead if self.causal else ahead.abs()) >= window
            hidden = far if hidden is None else hidden | far
        assert hidden is not None
        return torch.minimum(padding, hidden.to(torch.float32) * HIDDEN)
