"""InternViT, the vision tower of InternVL (arXiv:2312.14238)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import PlainFeedForward
from llm_export.models.components.registry import NORMS
from llm_export.models.config import FeedForwardConfig, NormConfig
from llm_export.models.vision.towers.configs import InternViTConfig
from llm_export.models.vision.towers.encoder import Patches, layer_norm
from llm_export.models.vision.towers.heads import attended

_QK_NORM = NormConfig(1e-6)


class InternViT(nn.Module):
    """Pixels [1, C, h, w] of the configured size -> features [1, N, D] of the patches, row by row.

    A class token takes part in the attention, and is left out of the result.
    """

    positions: nn.Parameter | None

    def __init__(self, config: InternViTConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.patches = Patches(config.channels, config.patch, hidden)
        self.class_token = nn.Parameter(torch.empty(1, 1, hidden))
        tokens = config.grid[0] * config.grid[1] + 1
        self.positions = nn.Parameter(torch.empty(1, tokens, hidden)) if config.placed else None
        self.layers = nn.ModuleList(InternViTLayer(config) for _ in range(config.layers))
        self.norm = layer_norm(hidden, config.norm.eps) if config.norm_last else None

    def forward(self, pixels: Tensor) -> Tensor:
        x = torch.cat((self.class_token, self.patches(pixels)), dim=1)
        if self.positions is not None:
            x = x + self.positions
        for layer in self.layers:
            x = layer(x)
        x = x[:, 1:]
        return x if self.norm is None else self.norm(x)


class InternViTLayer(nn.Module):
    """[1, N, D] -> [1, N, D], with learned factors on what both halves add."""

    def __init__(self, config: InternViTConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads = config.heads
        norm = NORMS.get(config.norm.kind)
        self.attention_norm = norm(hidden, config.norm)
        self.q = nn.Linear(hidden, hidden, bias=config.bias)
        self.k = nn.Linear(hidden, hidden, bias=config.bias)
        self.v = nn.Linear(hidden, hidden, bias=config.bias)
        self.q_norm: nn.Module | None = None
        self.k_norm: nn.Module | None = None
        if config.qk_norm:
            self.q_norm, self.k_norm = (NORMS.get("rms")(hidden, _QK_NORM) for _ in range(2))
        self.out = nn.Linear(hidden, hidden)
        self.attention_scale = nn.Parameter(torch.empty(hidden))
        self.ffn_norm = norm(hidden, config.norm)
        inner = FeedForwardConfig(config.ffn, config.activation, bias=True, kind="plain")
        self.feed_forward = PlainFeedForward(hidden, inner)
        self.ffn_scale = nn.Parameter(torch.empty(hidden))

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention_norm(x)
        q, k, v = self.q(y), self.k(y), self.v(y)
        q = q if self.q_norm is None else self.q_norm(q)
        k = k if self.k_norm is None else self.k_norm(k)
        q, k, v = (part.reshape(1, x.shape[1], self.heads, -1) for part in (q, k, v))
        x = x + self.attention_scale * self.out(attended(q, k, v))
        fed: Tensor = x + self.ffn_scale * self.feed_forward(self.ffn_norm(x))
        return fed
