"""Attention over the keys and values of an earlier layer, as in Gemma 3n and 4."""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory
from llm_export.models.components.registry import NORMS
from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step
from llm_export.models.config import AttentionConfig


class Queries(nn.Module):
    """[B, S, D] -> [B, S, H*E]. Its linear has the name that it has beside keys and values."""

    def __init__(self, hidden: int, config: AttentionConfig) -> None:
        super().__init__()
        self.q = nn.Linear(hidden, config.num_heads * config.head_dim, bias=config.qkv_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.q(x)


class BorrowingAttention(nn.Module):
    """[B, S, D] -> [B, S, D]. The layer has queries only: it attends to what the layer
    ``config.borrows`` has kept in this step and before, by the core of that layer.
    """

    core_shape = None

    def __init__(self, hidden: int, config: AttentionConfig, core: CoreFactory) -> None:
        super().__init__()
        self.config = config
        self.qkv = Queries(hidden, config)
        self.q_norm: nn.Module | None = None
        if config.qk_norm is not None:
            self.q_norm = NORMS.get(config.qk_norm.kind)(config.head_dim, config.qk_norm)
        self.out = nn.Linear(config.num_heads * config.head_dim, hidden, bias=config.out_bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        config = self.config
        assert step.lent is not None
        assert config.borrows is not None
        core, kept = step.lent[config.borrows]
        b, s, _ = x.shape
        q = self.qkv(x).view(b, s, config.num_heads, config.head_dim)
        q = q if self.q_norm is None else self.q_norm(q)
        if config.rope is not None and not core.rotates_inside:
            q = rotate(q, *step.rotations[config.rope])
        y = core.attend(q, *kept, step=step, sinks=None)
        return self.out(y.reshape(b, s, config.num_heads * config.head_dim))
