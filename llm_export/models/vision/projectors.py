"""Projectors: features of a vision tower -> embeddings of the decoder.

Each is built from its config: [B, N, D] -> [B, n, H].
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.norm import RMSNorm
from llm_export.models.norm_config import NormConfig
from llm_export.models.vision.config import ProjectorConfig, Size
from llm_export.models.vision.towers.encoder import layer_norm
from llm_export.registry import Registry

PROJECTORS: Registry[Any] = Registry("projector")
for _name, _class in {
    "shuffle": "ShuffleLinear",
    "shuffle_mlp": "ShuffleMLP",
    "pool": "PooledLinear",
    "mlp": "MLP",
}.items():
    PROJECTORS.register(_name, f"llm_export.models.vision.projectors:{_class}")
PROJECTORS.register("blocks", "llm_export.models.vision.towers.qwen3_vl:BlockProjector")


def pixel_shuffle(x: Tensor, grid: Size, factor: int) -> Tensor:
    """[B, rows * columns, D] -> [B, N / factor^2, factor^2 * D]: concatenate the features of each
    square of ``factor`` x ``factor`` positions: pixel unshuffle, the inverse of arXiv:1609.05158.
    """
    batch, _, size = x.shape
    rows, columns = grid[0] // factor, grid[1] // factor
    x = x.reshape(batch, rows, factor, columns, factor * size)
    return x.permute(0, 1, 3, 2, 4).reshape(batch, rows * columns, factor * factor * size)


class ShuffleLinear(nn.Module):
    """Pixel shuffle and a linear (Idefics 3, SmolVLM: arXiv:2408.12637, arXiv:2504.05299)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.inputs * config.factor**2, config.outputs, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.linear(pixel_shuffle(x, self.config.grid, self.config.factor))
        return projected


class ShuffleMLP(nn.Module):
    """Pixel shuffle, a norm where there is one, and two linears (LFM2-VL, InternVL)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.config = config
        size, inner = config.inputs * config.factor**2, config.inner or config.outputs
        self.norm = None if config.norm_eps is None else layer_norm(size, config.norm_eps)
        self.up = nn.Linear(size, inner, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.down = nn.Linear(inner, config.outputs, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = pixel_shuffle(x, self.config.grid, self.config.factor)
        x = x if self.norm is None else self.norm(x)
        projected: Tensor = self.down(self.activation(self.up(x)))
        return projected


class MLP(nn.Module):
    """Two linears (LLaVA 1.5: arXiv:2310.03744)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.inputs, config.inner or config.outputs, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.down = nn.Linear(config.inner or config.outputs, config.outputs, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.down(self.activation(self.up(x)))
        return projected


class PooledLinear(nn.Module):
    """Average of each square of features, RMS norm and a linear (Gemma 3: arXiv:2503.19786)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = RMSNorm(config.inputs, NormConfig(config.norm_eps or 1e-6))
        self.linear = nn.Linear(config.inputs, config.outputs, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, size = x.shape
        x = F.avg_pool2d(
            x.transpose(1, 2).reshape(batch, size, *self.config.grid), self.config.factor
        )
        x = x.reshape(batch, size, self.config.tokens).transpose(1, 2)
        projected: Tensor = self.linear(self.norm(x))
        return projected
