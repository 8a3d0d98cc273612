"""torchtune's attention around a replaceable core, so that it exports with its cache.

torchtune's own cache counts positions in a buffer and grows by slicing. ExecuTorch's replacement
(``executorch.extension.llm.modules``, 1.5.1) decides by ``torch.cond`` whether to project keys,
which no backend delegates. Here the position is an input, as in the rest of this package.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreShape
from llm_export.models.components.step import Step


class CoreAttention(nn.Module):
    """[B, S, D] -> [B, S, D] by the projections, rotation and norms of a torchtune attention.

    Its children keep torchtune's names. ``mask`` carries the whole Step, because torchtune's
    layers pass it to their attention unchanged.
    """

    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    output_proj: nn.Module
    pos_embeddings: nn.Module
    q_norm: nn.Module
    k_norm: nn.Module

    def __init__(self, original: Any, core: nn.Module) -> None:
        """``original``: torchtune's MultiHeadAttention or a model-specific class."""
        super().__init__()
        self.num_heads: int = original.num_heads
        self.num_kv_heads: int = original.num_kv_heads
        self.head_dim: int = original.head_dim
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
        out = self.core(q, k, v, mask, None)
        return self.output_proj(out.reshape(b, s, self.num_heads * self.head_dim))


def shape_of(original: Any) -> CoreShape:
    """The core shape of a torchtune attention; Gemma 2's has a soft cap, a window and a scale."""
    head_dim: int = original.head_dim
    return CoreShape(
        num_heads=original.num_heads,
        num_kv_heads=original.num_kv_heads,
        head_dim=head_dim,
        value_dim=head_dim,
        scale=getattr(original, "scaling", None) or head_dim**-0.5,
        window=getattr(original, "sliding_window_size", None),
        softcap=getattr(original, "softcapping", None),
    )
