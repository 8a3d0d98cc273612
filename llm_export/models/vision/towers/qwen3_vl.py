"""The vision tower of Qwen3-VL (arXiv:2511.21631) and Qwen3.5, for images of one size, and its
projectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import ACTIVATIONS, PlainFeedForward
from llm_export.models.components.rope import rotate
from llm_export.models.config import FeedForwardConfig
from llm_export.models.vision.towers.configs import BlockProjectorConfig, Qwen3VLTowerConfig
from llm_export.models.vision.towers.encoder import Patches, layer_norm
from llm_export.models.vision.towers.grid_positions import axial_rotation, in_blocks, resampled
from llm_export.models.vision.towers.heads import attended

_EPS = 1e-6


class Qwen3VLTower(nn.Module):
    """Pixels [1, C, h, w] of the configured size -> features [1, N, D] of the last layer and of
    each tap, patches in the order of ``grid_positions.in_blocks``.

    An image is a video of one frame, twice: the weights of the two are summed when they are read.
    """

    positions: nn.Parameter
    placed: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, config: Qwen3VLTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.repeated_layers = "" if config.taps else "layers"
        hidden = config.hidden
        self.patches = Patches(config.channels, config.patch, hidden)
        self.positions = nn.Parameter(torch.empty(config.table, hidden))
        self.layers = nn.ModuleList(Qwen3VLTowerLayer(config) for _ in range(config.layers))
        patches = config.grid[0] * config.grid[1]
        self.register_buffer("placed", torch.empty(1, patches, hidden), persistent=False)
        rotation = torch.empty(1, patches, 1, hidden // config.heads)
        self.register_buffer("cos", rotation, persistent=False)
        self.register_buffer("sin", rotation.clone(), persistent=False)

    def init_buffers(self) -> None:
        """Place the learned positions in the grid, and compute the rotations."""
        config = self.config
        placed = in_blocks(resampled(self.positions.detach(), config.grid), config.merge)
        head_dim = config.hidden // config.heads
        cos, sin = axial_rotation(config.grid, head_dim, config.theta, config.merge)
        dtype = self.positions.dtype
        self.placed, self.cos, self.sin = (x.to(dtype) for x in (placed[None], cos, sin))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        rows = self.patches(pixels).view(*self.config.grid, -1)
        x = in_blocks(rows, self.config.merge)[None] + self.placed
        tapped = []
        for number, layer in enumerate(self.layers):
            x = layer(x, self.cos, self.sin)
            if number in self.config.taps:
                tapped.append(x)
        return (x, *tapped)


class Qwen3VLTowerLayer(nn.Module):
    """[1, N, D], and cos and sin [1, N, 1, E] -> [1, N, D]."""

    def __init__(self, config: Qwen3VLTowerConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads = config.heads
        self.attention_norm = layer_norm(hidden, _EPS)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.ffn_norm = layer_norm(hidden, _EPS)
        inner = FeedForwardConfig(config.ffn, config.activation, bias=True, kind="plain")
        self.feed_forward = PlainFeedForward(hidden, inner)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y, width = self.qkv(self.attention_norm(x)), x.shape[-1]
        # Slices, which delegates take, unlike a split.
        parts = (y[..., :width], y[..., width : 2 * width], y[..., 2 * width :])
        q, k, v = (part.reshape(1, x.shape[1], self.heads, -1) for part in parts)
        x = x + self.out(attended(rotate(q, cos, sin), rotate(k, cos, sin), v))
        fed: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return fed


class BlockProjector(nn.Module):
    """Results of a ``Qwen3VLTower`` -> embeddings [1, n, H]; where there are taps, embeddings and
    additions [taps, 1, n, H].
    """

    def __init__(self, config: BlockProjectorConfig) -> None:
        super().__init__()
        self.merger = BlockMerger(config, norm_of_block=False)
        taps = range(config.taps)
        self.taps = nn.ModuleList(BlockMerger(config, norm_of_block=True) for _ in taps)

    def forward(self, results: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, Tensor]:
        last, *tapped = results
        embeddings: Tensor = self.merger(last)
        if not tapped:
            return embeddings
        return embeddings, torch.stack(
            [merger(x) for merger, x in zip(self.taps, tapped, strict=True)]
        )


class BlockMerger(nn.Module):
    """[1, N, D] -> [1, n, H]: blocks of neighbours, by two linears. The norm is of each feature, or
    of a whole block.
    """

    def __init__(self, config: BlockProjectorConfig, norm_of_block: bool) -> None:
        super().__init__()
        self.width = config.inputs * config.merge**2
        self.norm_of_block = norm_of_block
        self.norm = layer_norm(self.width if norm_of_block else config.inputs, _EPS)
        self.up = nn.Linear(self.width, self.width)
        self.down = nn.Linear(self.width, config.outputs)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_of_block:
            x = self.norm(x.reshape(1, -1, self.width))
        else:
            x = self.norm(x).reshape(1, -1, self.width)
        merged: Tensor = self.down(ACTIVATIONS["gelu"](self.up(x)))
        return merged
