"""InternViT, the vision tower of InternVL (arXiv:2404.16821), and its projector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.registry import NORMS
from llm_export.models.config import NormConfig
from llm_export.models.vision.full_attention import full_attention

_QK_NORM = NormConfig(1e-6)
_PROJECTOR_NORM = NormConfig(1e-5, "layer", bias=True)


@dataclass(frozen=True)
class InternViTConfig:
    """
    Attributes:
        image_size, patch: height and width in pixels.
        norm: of the blocks.
        bias: whether queries, keys and values have one.
        qk_norm: whether they are normed, over all heads.
        placed: whether patches have learned positions.
        last_norm: whether a layer norm follows the last block.
    """

    image_size: tuple[int, int]
    patch: tuple[int, int]
    channels: int
    hidden: int
    heads: int
    ffn: int
    layers: int
    activation: str
    norm: NormConfig
    bias: bool = False
    qk_norm: bool = False
    placed: bool = True
    last_norm: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_size[0] // self.patch[0], self.image_size[1] // self.patch[1]

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"{self.hidden} channels do not divide among {self.heads} heads")


class InternViT(nn.Module):
    """pixels [1, channels, height, width] -> [1, N, hidden]: the patches, row by row.

    A class token takes part in the attention, and is left out of the result.
    """

    positions: nn.Parameter | None

    def __init__(self, config: InternViTConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.patch = nn.Conv2d(config.channels, hidden, config.patch, stride=config.patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, hidden))
        tokens = config.grid[0] * config.grid[1] + 1
        self.positions = nn.Parameter(torch.empty(1, tokens, hidden)) if config.placed else None
        self.layers = nn.ModuleList(InternViTLayer(config) for _ in range(config.layers))
        last = NormConfig(config.norm.eps, "layer", bias=True)
        self.norm = NORMS.get(last.kind)(hidden, last) if config.last_norm else None

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch(pixels).flatten(2).transpose(1, 2)
        x = torch.cat((self.class_token, patches), dim=1)
        if self.positions is not None:
            x = x + self.positions
        for layer in self.layers:
            x = layer(x)
        x = x[:, 1:]
        return x if self.norm is None else self.norm(x)


class InternViTLayer(nn.Module):
    """[1, N, hidden] -> [1, N, hidden], with learned factors on what both halves add."""

    def __init__(self, config: InternViTConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads, self.activation = config.heads, ACTIVATIONS[config.activation]
        norm = NORMS.get(config.norm.kind)
        self.attention_norm = norm(hidden, config.norm)
        self.q, self.k, self.v = (nn.Linear(hidden, hidden, bias=config.bias) for _ in range(3))
        self.q_norm: nn.Module | None = None
        self.k_norm: nn.Module | None = None
        if config.qk_norm:
            self.q_norm, self.k_norm = (NORMS.get("rms")(hidden, _QK_NORM) for _ in range(2))
        self.out = nn.Linear(hidden, hidden)
        self.attention_scale = nn.Parameter(torch.empty(hidden))
        self.ffn_norm = norm(hidden, config.norm)
        self.up = nn.Linear(hidden, config.ffn)
        self.down = nn.Linear(config.ffn, hidden)
        self.ffn_scale = nn.Parameter(torch.empty(hidden))

    def forward(self, x: Tensor) -> Tensor:
        y = self.attention_norm(x)
        q, k, v = self.q(y), self.k(y), self.v(y)
        q = q if self.q_norm is None else self.q_norm(q)
        k = k if self.k_norm is None else self.k_norm(k)
        q, k, v = (part.view(1, x.shape[1], self.heads, -1) for part in (q, k, v))
        x = x + self.attention_scale * self.out(full_attention(q, k, v))
        return x + self.ffn_scale * self.down(self.activation(self.up(self.ffn_norm(x))))


class ShuffleProjector(nn.Module):
    """[1, rows * columns, hidden] -> [1, N / merge², out]: square blocks of ``merge`` patches a
    side (pixel shuffle), by two linears.
    """

    def __init__(
        self, grid: tuple[int, int], hidden: int, merge: int, out: int, activation: str
    ) -> None:
        super().__init__()
        self.grid, self.merge, self.activation = grid, merge, ACTIVATIONS[activation]
        width = hidden * merge**2
        self.norm = NORMS.get(_PROJECTOR_NORM.kind)(width, _PROJECTOR_NORM)
        self.up = nn.Linear(width, out)
        self.down = nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (size // self.merge for size in self.grid)
        blocks = x.view(rows, self.merge, columns, self.merge, -1).transpose(1, 2)
        x = self.norm(blocks.reshape(1, rows * columns, -1))
        return self.down(self.activation(self.up(x)))
