"""Attention of a decoder to an encoder's output (arXiv:1706.03762, section 3.2.3).

The encoder's method computes keys and values of all layers once and stores them in mutable
buffers; the decoder's method reads them at each step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.attention_cores.planners import HIDDEN


class SourceMask(nn.Module):
    """Which slots of the cross caches hold the encoder's output: additive, [1, N] for N slots.

    Needed where the source may be shorter than the slots, or is padded.
    """

    hidden: Tensor

    def __init__(self, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.register_buffer("hidden", torch.empty(1, slots), persistent=False)

    def init_buffers(self) -> None:
        self.hidden = torch.zeros(1, self.slots, device="cpu", dtype=self.hidden.dtype)

    def fill(self, mask: Tensor) -> None:
        """Store a mask [1, S] of a source with S slots at most: nonzero where it is not padding."""
        self.hidden.fill_(HIDDEN)
        self.hidden[:, torch.arange(mask.shape[1])] = additive(mask).to(self.hidden.dtype)

    def forward(self) -> Tensor:
        return self.hidden


def additive(mask: Tensor) -> Tensor:
    """0 where ``mask`` is nonzero, and a large negative number elsewhere; float32."""
    return (mask == 0).to(torch.float32) * HIDDEN


class CrossAttention(nn.Module):
    """Decoder tokens [R, S, D] -> [R, S, D], over an encoder's output of up to N tokens.

    ``R`` is the number of sequences over one source (beams). Keys are kept as
    [H, E, N] and values as [H, N, E], as the two products take them.

    Args:
        source: channels of the encoder's output.
        scale: factor on q.k.
        bias: whether the projections of queries, values and output have a bias.
        key_bias: whether the keys' projection has one.
    """

    k_cache: Tensor
    v_cache: Tensor

    def __init__(
        self,
        hidden: int,
        source: int,
        num_heads: int,
        head_dim: int,
        slots: int,
        *,
        scale: float,
        bias: bool = False,
        key_bias: bool = False,
    ) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim, self.slots, self.scale = num_heads, head_dim, slots, scale
        self.q = nn.Linear(hidden, inner, bias=bias)
        self.k = nn.Linear(source, inner, bias=key_bias)
        self.v = nn.Linear(source, inner, bias=bias)
        self.o = nn.Linear(inner, hidden, bias=bias)
        self.fused = False
        for name, size in self._sizes().items():
            self.register_buffer(name, torch.empty(size), persistent=False)

    def _sizes(self) -> dict[str, tuple[int, ...]]:
        h, n, e = self.num_heads, self.slots, self.head_dim
        if self.fused:
            return dict.fromkeys(("k_cache", "v_cache"), (h, n, 1, e))
        return {"k_cache": (h, e, n), "v_cache": (h, n, e)}

    def init_buffers(self) -> None:
        for name in self._sizes():
            former = getattr(self, name)
            setattr(self, name, torch.zeros(former.shape, device="cpu", dtype=former.dtype))

    def resize(self, slots: int) -> None:
        """Make room for other sources; the caches are then empty."""
        self.slots = slots
        for name, size in self._sizes().items():
            setattr(self, name, getattr(self, name).new_zeros(size))

    def set_fused(self, fused: bool) -> None:
        """Attend by ExecuTorch's fused operator, with heads as the batch: caches [H, N, 1, E]."""
        self.fused = fused
        self.resize(self.slots)

    def fill(self, source: Tensor) -> None:
        """Store keys and values of an encoder's output [1, S, D], S at most the slots."""
        h, e = self.num_heads, self.head_dim
        if self.fused:
            for cache, part in ((self.k_cache, self.k), (self.v_cache, self.v)):
                made = part(source[0]).view(source.shape[1], h, e).transpose(0, 1)[:, :, None]
                torch.ops.llama.update_cache(made, cache, 0)
            return
        keys = self.k(source[0]).view(source.shape[1], h, e).permute(1, 2, 0)
        values = self.v(source[0]).view(source.shape[1], h, e).transpose(0, 1)
        if isinstance(source.shape[1], int) and source.shape[1] == self.slots:
            self.k_cache.copy_(keys)
            self.v_cache.copy_(values)
            return
        slots = torch.arange(source.shape[1])
        self.k_cache[:, :, slots] = keys.to(self.k_cache.dtype)
        self.v_cache[:, slots] = values.to(self.v_cache.dtype)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``mask`` [1, N] is that of ``SourceMask``; None where all slots are filled."""
        rows, s, _ = x.shape
        h, e = self.num_heads, self.head_dim
        # Sequences over one source are further queries of it: the keys are not repeated.
        q = (self.q(x) * self.scale).reshape(rows * s, h, e).transpose(0, 1)
        if self.fused:
            return self.o(self._fused(q, mask).reshape(rows, s, h * e))
        scores = torch.bmm(q, self.k_cache).to(torch.float32)
        if mask is not None:
            scores = scores + mask
        weights = F.softmax(scores, dim=-1).to(q.dtype)
        y = torch.bmm(weights, self.v_cache)
        return self.o(y.transpose(0, 1).reshape(rows, s, h * e))

    def _fused(self, q: Tensor, mask: Tensor | None) -> Tensor:
        """[H, S, E] -> [S, H, E]."""
        s = q.shape[1]
        # Without a mask the operator reads as many keys as its first position and S come to.
        start = self.slots - s if mask is None else 0
        wide = None if mask is None else mask.expand(s, -1).contiguous()
        y = torch.ops.llama.custom_sdpa(
            q[:, :, None], self.k_cache, self.v_cache, start, wide, 0.0, False, 1.0
        )
        return y[:, :, 0].transpose(0, 1)
