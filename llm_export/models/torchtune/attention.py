"""torchtune's attention around an exchangeable core, so that it exports with its cache.

torchtune's own cache counts positions in a buffer and grows by slicing; ExecuTorch's
replacement for it (``executorch.extension.llm.modules``, 1.5.1) chooses by ``torch.cond``
whether to project keys, which no backend takes into a delegate. Here the position is an
input, as everywhere in this package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.attention_cores import KINDS, CoreShape
from llm_export.models.components.step import Step


class CoreAttention(nn.Module):
    """[B, S, D] -> [B, S, D] by the projections, rotation and norms of a torchtune attention.

    Its children have torchtune's names. ``mask`` carries the whole Step: torchtune's layers
    hand it to their attention untouched.
    """

    def __init__(self, original: nn.Module, core: nn.Module) -> None:
        super().__init__()
        self.num_heads: int = original.num_heads  # type: ignore[assignment]
        self.num_kv_heads: int = original.num_kv_heads  # type: ignore[assignment]
        self.head_dim: int = original.head_dim  # type: ignore[assignment]
        for name in ("q_proj", "k_proj", "v_proj", "output_proj", "pos_embeddings"):
            setattr(self, name, getattr(original, name))
        self.q_norm = original.q_norm or nn.Identity()
        self.k_norm = original.k_norm or nn.Identity()
        self.core = core

    def forward(self, x: Tensor, y: Tensor, *, mask: Step, input_pos: Tensor) -> Tensor:
        b, s, _ = x.shape
        q = self.q_proj(x).view(b, s, self.num_heads, self.head_dim)
        k = self.k_proj(y).view(b, s, self.num_kv_heads, self.head_dim)
        v = self.v_proj(y).view(b, s, self.num_kv_heads, self.head_dim)
        # torchtune normalizes after rotating, over the channels of a head.
        q = self.q_norm(self.pos_embeddings(q, input_pos=input_pos))
        k = self.k_norm(self.pos_embeddings(k, input_pos=input_pos))
        out = self.core(q, k, v, mask)
        return self.output_proj(out.reshape(b, s, self.num_heads * self.head_dim))


class SoftcapCore(nn.Module):
    """Gemma 2's attention over a cache [B, K, T, E]: scores capped by tanh, and a window.

    https://arxiv.org/abs/2408.00118, section 2. A window of W lets a token see itself and
    the W - 1 before it.
    """

    k_cache: Tensor
    v_cache: Tensor
    slots: Tensor

    def __init__(self, shape: CoreShape, scale: float, cap: float, window: int | None) -> None:
        super().__init__()
        self.cache_shape = (1, shape.num_kv_heads, shape.context, shape.head_dim)
        self.scale, self.cap, self.window = scale, cap, window
        self.register_buffer("k_cache", torch.empty(self.cache_shape), persistent=False)
        self.register_buffer("v_cache", torch.empty(self.cache_shape), persistent=False)
        slots = torch.empty(shape.context, dtype=torch.int64)
        self.register_buffer("slots", slots, persistent=False)

    def init_buffers(self) -> None:
        self.k_cache = torch.zeros(self.cache_shape, device="cpu")
        self.v_cache = torch.zeros(self.cache_shape, device="cpu")
        self.slots = torch.arange(self.cache_shape[2], device="cpu")

    def forward(self, q: Tensor, k: Tensor, v: Tensor, step: Step) -> Tensor:
        assert step.mask is not None
        self.k_cache[:, :, step.positions] = k.transpose(1, 2)
        self.v_cache[:, :, step.positions] = v.transpose(1, 2)
        mask = step.mask
        if self.window is not None:
            past = self.slots[None, :] <= step.positions[:, None] - self.window
            mask = mask + past.to(torch.float32) * -1e9
        b, s, h, e = q.shape
        n, group = self.k_cache.shape[1], h // self.k_cache.shape[1]
        # The heads of a group are stacked along S, so keys and values are never repeated.
        q = (q * self.scale).transpose(1, 2).reshape(b * n, group * s, e)
        scores = torch.bmm(q, self.k_cache.reshape(b * n, -1, e).transpose(1, 2))
        scores = torch.tanh(scores / self.cap) * self.cap
        weights = F.softmax(scores.view(b * n, group, s, -1) + mask, dim=-1)
        y = torch.bmm(weights.view(b * n, group * s, -1), self.v_cache.reshape(b * n, -1, e))
        return y.view(b, n, group, s, e).permute(0, 3, 1, 2, 4).reshape(b, s, h, e)


def core_for(original: nn.Module, kind: str, context: int) -> nn.Module:
    """The core of ``kind`` for one torchtune attention; ``context`` is T."""
    shape = CoreShape(
        original.num_heads, original.num_kv_heads, original.head_dim, context  # type: ignore[arg-type]
    )  # fmt: skip
    cap = getattr(original, "softcapping", None)
    if cap is None:
        return KINDS[kind][1](shape)
    assert kind == "plain", "the definition offers softcapped attention as plain only"
    return SoftcapCore(shape, original.scaling, cap, original.sliding_window_size)  # type: ignore[arg-type]
