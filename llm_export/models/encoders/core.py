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

    The heads of a group are stacked along S, G = H / K of them, so keys and values are not
    repeated. The mask of its plan is additive, [B*K, 1 or G*S, S].

    From the first product to the second all tensors have three dimensions, so that a delegate takes
    them together: it takes no view of a tensor with two dynamic dimensions. What
    ``scaled_dot_product_attention`` decomposes into has operators that delegates do not take.
    """

    def __init__(self, shape: CoreShape) -> None:
        super().__init__()
        self.shape = shape
        self.group = shape.num_heads // shape.num_kv_heads

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        return self.attend(q, k, v, step=step, sinks=sinks)

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        mask = step.plans[self.shape.window].mask
        assert mask is not None
        assert sinks is None
        keys, values = kept
        (b, s, heads, e), g = keys.shape, self.group
        rows = self._rows(q * self.shape.scale)
        columns = keys.permute(0, 2, 3, 1).reshape(b * heads, e, s)
        scores = torch.bmm(rows, columns)
        if self.shape.softcap is not None:
            scores = torch.tanh(scores / self.shape.softcap) * self.shape.softcap
        weights = F.softmax(scores + mask, dim=-1)
        y = torch.bmm(weights, values.transpose(1, 2).reshape(b * heads, s, e))
        if g == 1:
            return y.view(b, heads, s, e).transpose(1, 2)
        return y.view(b, heads, g, s, e).permute(0, 3, 1, 2, 4).reshape(b, s, heads * g, e)

    def _rows(self, q: Tensor) -> Tensor:
        """[B, S, H, E] -> [B*K, G*S, E]."""
        b, s, h, e = q.shape
        n, g = b * self.shape.num_kv_heads, self.group
        if g == 1:
            return q.transpose(1, 2).reshape(n, s, e)
        return q.view(b, s, h // g, g, e).permute(0, 2, 3, 1, 4).reshape(n, g * s, e)


class MaskPlanner(nn.Module):
    """mask [B, S] float, 1 for a text's tokens -> window -> Plan.

    Args:
        heads: key/value heads of every layer, K.
        group: query heads for each of them, G.
    """

    positions: Tensor

    def __init__(
        self, windows: Sequence[int | None], longest: int, causal: bool, heads: int, group: int
    ) -> None:
        super().__init__()
        self.windows, self.longest, self.causal = tuple(windows), longest, causal
        self.heads, self.group = heads, group
        shape = torch.empty(longest, dtype=torch.int64)
        self.register_buffer("positions", shape, persistent=False)

    def init_buffers(self) -> None:
        self.positions = torch.arange(self.longest, device="cpu")

    def forward(self, mask: Tensor) -> tuple[Tensor, Plans]:
        """(positions [S], plans)."""
        positions = self.positions[: mask.shape[1]]
        padding = (1 - mask) * HIDDEN
        return positions, {
            window: Plan(positions, self._mask(padding, positions, window))
            for window in self.windows
        }

    def _mask(self, padding: Tensor, positions: Tensor, window: int | None) -> Tensor:
        b, s = padding.shape
        rows = padding[:, None].expand(b, self.heads, s).reshape(b * self.heads, 1, s)
        if window is None and not self.causal:
            return rows
        ahead = positions[None] - positions[:, None]
        hidden = ahead > 0 if self.causal else None
        if window is not None:
            far = (-ahead if self.causal else ahead.abs()) >= window
            hidden = far if hidden is None else hidden | far
        assert hidden is not None
        # Not by expanding both: the strides of that add a guard on the length.
        every = torch.cat([hidden.to(torch.float32) * HIDDEN] * self.group)
        return torch.minimum(rows, every)
