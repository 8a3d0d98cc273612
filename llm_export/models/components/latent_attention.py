"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), in its absorbed form.

Keys and values of all heads are linear functions of one latent vector per token. Multiplying the
query by the key weight and the attended latent by the value weight leaves attention with a single
key/value "head" of kv_rank + rope_dim channels, and only that is cached.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.attention_cores import CoreFactory, CoreShape
from llm_export.models.components.norm import RMSNorm
from llm_export.models.components.rope import rotate
from llm_export.models.components.step import Step
from llm_export.models.config import AttentionConfig, NormConfig

# The latent norms of the published models do not take epsilon from the config.
_LATENT_EPS = 1e-6


class LatentQuery(nn.Module):
    """[B, S, D] -> [B, S, H * (nope + rope)] through a low-rank projection."""

    def __init__(self, hidden: int, rank: int, size: int, bias: bool) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, rank, bias=bias)
        self.norm = RMSNorm(rank, NormConfig(_LATENT_EPS))
        self.up = nn.Linear(rank, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.norm(self.down(x)))


class LatentAttention(nn.Module):
    """[B, S, D] -> [B, S, D].

    ``key_up`` [H, nope, rank] and ``value_up`` [H, rank, value] are the two absorbed weights.
    """

    def __init__(self, hidden: int, config: AttentionConfig, core: CoreFactory) -> None:
        super().__init__()
        assert config.latent is not None
        self.config, self.latent = config, config.latent
        latent, heads = config.latent, config.num_heads
        size = heads * (latent.nope_dim + latent.rope_dim)
        if latent.query_rank is None:
            self.query: nn.Module = nn.Linear(hidden, size, bias=False)
        else:
            self.query = LatentQuery(hidden, latent.query_rank, size, config.qkv_bias)
        self.kv_down = nn.Linear(hidden, latent.kv_rank + latent.rope_dim, bias=config.qkv_bias)
        self.kv_norm = RMSNorm(latent.kv_rank, NormConfig(_LATENT_EPS))
        self.key_up = nn.Parameter(torch.empty(heads, latent.nope_dim, latent.kv_rank))
        self.value_up = nn.Parameter(torch.empty(heads, latent.kv_rank, latent.value_dim))
        self.core_shape = CoreShape(
            heads, 1, latent.kv_rank + latent.rope_dim, latent.kv_rank, config.scale,
            config.window, config.softcap, rope=config.rope, shared_values=True,
        )  # fmt: skip
        self.core = core(self.core_shape)
        self.out = nn.Linear(heads * latent.value_dim, hidden, bias=config.out_bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        latent, heads = self.latent, self.config.num_heads
        assert self.config.rope is not None
        b, s, _ = x.shape
        query = self.query(x).view(b, s, heads, latent.nope_dim + latent.rope_dim)
        q_nope, q_rope = torch.split(query, [latent.nope_dim, latent.rope_dim], dim=-1)
        c, k_rope = torch.split(self.kv_down(x), [latent.kv_rank, latent.rope_dim], dim=-1)
        c = self.kv_norm(c)[:, :, None]
        # The rotated channels come first, as ``rotate`` expects.
        q = torch.cat((q_rope, self._per_head(q_nope, self.key_up)), dim=-1)
        k = torch.cat((k_rope[:, :, None], c), dim=-1)
        if not self.core.rotates_inside:
            cos, sin = step.rotations[self.config.rope]
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = self.core(step.scaled(q), k, c, step, None)
        return self.out(self._per_head(y, self.value_up).reshape(b, s, heads * latent.value_dim))

    def _per_head(self, x: Tensor, matrices: Tensor) -> Tensor:
        """[B, S, H, a] times [H, a, b] -> [B, S, H, b]; batch size 1, as in programs."""
        b, s, heads, a = x.shape
        x = x.permute(2, 0, 1, 3).reshape(heads, b * s, a)
        return torch.bmm(x, matrices).view(heads, b, s, -1).permute(1, 2, 0, 3)
