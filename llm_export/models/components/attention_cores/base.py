"""Base classes of attention cores, and their shared arithmetic and cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.step import Lent, Step
from llm_export.models.config import AttentionConfig


@dataclass(frozen=True)
class CoreShape:
    """Sizes and options of one layer's attention; see ``AttentionConfig``.

    ``shared_values``: the values are the last ``value_dim`` channels of the keys, as in multi-head
    latent attention, and are not stored separately. ``lends``: number under which later layers
    find this layer's keys and values.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    value_dim: int
    scale: float
    window: int | None = None
    softcap: float | None = None
    rope: int | None = None
    shared_values: bool = False
    lends: int | None = None

    @staticmethod
    def of(config: AttentionConfig) -> CoreShape:
        return CoreShape(
            config.num_heads, config.num_kv_heads, config.head_dim, config.head_dim,
            config.scale, config.window, config.softcap, config.rope, lends=config.lends,
        )  # fmt: skip


class Core(nn.Module):
    """Attention of one layer.

    ``forward`` stores the step's keys and values and ends in ``attend``, which later layers call
    as well, with queries of their own, if this layer lends them what it keeps.

    ``rotates_inside``: the core takes unrotated queries and keys and applies RoPE itself.
    """

    rotates_inside: bool = False
    shape: CoreShape

    def attend(self, q: Tensor, *kept: Tensor, step: Step, sinks: Tensor | None) -> Tensor:
        """q [B, S, H, E] -> [B, S, H, E'] over the keys and values in ``kept``."""
        raise NotImplementedError

    def lend(self, step: Step, *kept: Tensor) -> None:
        """Let later layers attend to ``kept``, if any do."""
        if self.shape.lends is None or step.lent is None:
            return
        if not torch.compiler.is_exporting():
            # Layers may run one after the other over many windows, which all write this cache.
            kept = tuple(t.clone() for t in kept)
        step.lent[self.shape.lends] = Lent(self, kept)


CoreFactory = Callable[[CoreShape], Core]


def grouped_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, shape: CoreShape, sinks: Tensor | None
) -> Tensor:
    """q [B, S, H, E]; k [B, K, T, E]; v [B, K, T, E']; mask [S, T] additive -> [B, S, H, E'].

    The heads of a group are stacked along S, so keys and values are not repeated. ``sinks`` [H]
    are logits that take part in the softmax and have no value.
    """
    b, s, h, e = q.shape
    heads = shape.num_kv_heads
    group, n = h // heads, b * heads
    q = (q * shape.scale).transpose(1, 2).reshape(n, group * s, e)
    k, v = k.reshape(n, -1, e), v.reshape(n, -1, shape.value_dim)
    scores = torch.bmm(q, k.transpose(1, 2)).view(n, group, s, -1)
    if scores.dtype != torch.float32:
        # float16's largest value is smaller than the mask value, and a long softmax sum loses
        # precision.
        scores = scores.float()
    if shape.softcap is not None:
        scores = torch.tanh(scores / shape.softcap) * shape.softcap
    scores = scores + mask
    if sinks is None:
        weights = F.softmax(scores, dim=-1)
    else:
        column = sinks.view(heads, group, 1, 1).expand(-1, -1, s, -1)
        column = column if b == 1 else column.repeat(b, 1, 1, 1)
        column = column if column.dtype == scores.dtype else column.to(scores.dtype)
        weights = F.softmax(torch.cat((scores, column), dim=-1), dim=-1)[..., :-1]
    weights = weights if weights.dtype == v.dtype else weights.to(v.dtype)
    # Only split dimensions: merging and splitting them again adds a guard on the number of tokens.
    y = torch.bmm(weights.reshape(n, group * s, -1), v).view(b, heads, group, s, shape.value_dim)
    return y.permute(0, 3, 1, 2, 4).reshape(b, s, h, shape.value_dim)


class CachedCore(Core):
    """Keys and values of all previous positions, in mutable buffers of fixed shape."""

    slot_dim: ClassVar[int | None] = None
    """The dimension of the buffers along which slots lie; see ``state_buffers``."""
    k_cache: Tensor
    v_cache: Tensor

    def __init__(self, keys: tuple[int, ...], values: tuple[int, ...] | None) -> None:
        super().__init__()
        self.cache_shapes = {"k_cache": keys}
        if values is not None:
            self.cache_shapes["v_cache"] = values
        for name, size in self.cache_shapes.items():
            self.register_buffer(name, torch.empty(size), persistent=False)

    def init_buffers(self) -> None:
        for name, size in self.cache_shapes.items():
            dtype = self._buffers[name].dtype  # type: ignore[union-attr]
            setattr(self, name, torch.zeros(size, device="cpu", dtype=dtype))
