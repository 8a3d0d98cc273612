"""Rotary position embedding (arXiv:2104.09864).

cos and sin tables are computed once in float32 and gathered by position, so the program contains
no trigonometric functions, and prefill and decode use the same tables.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.registry import ROPE_SCALINGS
from llm_export.models.config import STREAMS, RopeConfig


def inverse_frequencies(config: RopeConfig) -> tuple[Tensor, float]:
    """[dim/2] float32 angular frequencies in radians per position, and the factor on cos and
    sin.
    """
    return ROPE_SCALINGS.get(config.scaling)(config)


class RotaryTables(nn.Module):
    """positions [S] -> (cos, sin), each [1, S, 1, dim], ready to broadcast over heads.

    With several position streams, positions are [streams, S]; [S] stands for equal ones.
    """

    cos: Tensor
    sin: Tensor
    chosen: Tensor

    def __init__(self, config: RopeConfig, context_length: int) -> None:
        super().__init__()
        self.config = config
        self.context_length = context_length
        shape = (context_length, config.dim)
        self.register_buffer("cos", torch.empty(shape), persistent=False)
        self.register_buffer("sin", torch.empty(shape), persistent=False)
        if config.streams:
            streams = torch.empty(STREAMS, 1, config.dim)
            self.register_buffer("chosen", streams, persistent=False)

    def init_buffers(self) -> None:
        """Fill the tables; called once after the model has left the meta device."""
        inv_freq, factor = inverse_frequencies(self.config)
        positions = torch.arange(self.context_length, dtype=torch.float32, device="cpu")
        angles = torch.outer(positions, inv_freq)
        angles = torch.cat((angles, angles), dim=-1)
        # The sign of rotate_half's first half is folded into sin, so rotate() needs no negation.
        sign = torch.ones(self.config.dim, device="cpu")
        sign[: self.config.dim // 2] = -1
        dtype = self.cos.dtype
        self.cos = (angles.cos() * factor).to(dtype)
        self.sin = (angles.sin() * sign * factor).to(dtype)
        if self.config.streams:
            stream = torch.tensor(self.config.streams * 2, device="cpu")
            numbers = torch.arange(STREAMS, device="cpu")
            self.chosen = (stream == numbers[:, None, None]).to(dtype)

    def rows(self, table: Tensor, positions: Tensor) -> Tensor:
        """[S, dim]: of each channel the table's entry at the position that it turns by."""
        rows = table[positions]
        return rows if positions.dim() == 1 else (rows * self.chosen).sum(0)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos = self.rows(self.cos, positions)[None, :, None]
        sin = self.rows(self.sin, positions)[None, :, None]
        return cos, sin


class GroupedRotaryTables(RotaryTables):
    """positions [S] -> (cos, sin), each [1, S, 1, G + 2, E], for the queries and the key of a KV
    head. Entries for its value and for channels beyond ``dim`` are the identity.
    """

    def __init__(self, config: RopeConfig, context_length: int, group: int, head_dim: int) -> None:
        super().__init__(config, context_length)
        self.group, self.rest = group, head_dim - config.dim

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = (self.rows(table, positions) for table in (self.cos, self.sin))
        return self._widened(cos, 1.0), self._widened(sin, 0.0)

    def _widened(self, table: Tensor, fill: float) -> Tensor:
        if self.rest:
            table = F.pad(table, (0, self.rest), value=fill)
        still = torch.full_like(table, fill)
        rows = [table] * (self.group + 1) + [still]
        return torch.stack(rows, dim=1)[None, :, None]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [B, S, N, E] by the angles of its positions (channel i pairs with i + dim/2).

    cos and sin have ``dim`` channels; those of x after them pass through.
    """
    dim = cos.shape[-1]
    half = dim // 2
    head = x if dim == x.shape[-1] else x[..., :dim]
    swapped = torch.cat((head[..., half:], head[..., :half]), dim=-1)
    rotated = head * cos + swapped * sin
    return rotated if dim == x.shape[-1] else torch.cat((rotated, x[..., dim:]), dim=-1)
