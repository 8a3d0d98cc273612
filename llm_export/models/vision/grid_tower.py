"""The vision tower of Qwen3-VL and Qwen3.5 for images of one size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from llm_export.models.components.feed_forward import ACTIVATIONS
from llm_export.models.components.norm import LayerNorm
from llm_export.models.components.rope import rotate
from llm_export.models.config import NormConfig
from llm_export.models.vision.full_attention import full_attention
from llm_export.models.vision.grid_positions import axial_rotation, in_blocks, resampled

_NORM = NormConfig(1e-6, "layer", bias=True)


@dataclass(frozen=True)
class GridTowerConfig:
    """
    Attributes:
        image_size: height and width in pixels.
        merge: patches a side of a block that becomes one token.
        table: learned positions, of a square grid.
        taps: layers whose results are projected too, and added in the decoder.
        out: channels of a token.
        theta: of the RoPE by rows and columns.
    """

    image_size: tuple[int, int]
    channels: int
    patch: int
    hidden: int
    heads: int
    ffn: int
    layers: int
    activation: str
    merge: int
    table: int
    out: int
    taps: tuple[int, ...] = ()
    theta: float = 10000.0

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of an image's tokens."""
        return self.grid[0] // self.merge, self.grid[1] // self.merge

    @property
    def tokens(self) -> int:
        return self.token_grid[0] * self.token_grid[1]

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 4:
            raise ValueError(
                f"{self.hidden} channels in {self.heads} heads cannot be rotated by row and column"
            )
        if round(self.table**0.5) ** 2 != self.table:
            raise ValueError(f"num_position_embeddings={self.table} is not a square number")
        if list(self.taps) != sorted({i for i in self.taps if 0 <= i < self.layers}):
            raise ValueError(
                f"deepstack_visual_indexes={list(self.taps)} are not layers of {self.layers} in order"
            )


class GridTower(nn.Module):
    """pixels [1, channels, height, width] -> [1, N, hidden] of the last layer and of each tap,
    patches in the order of ``grid_positions.in_blocks``.

    An image is a video of one frame, twice: the kernels of both frames are summed when the weights
    are read.
    """

    positions: nn.Parameter
    placed: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, config: GridTowerConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.patch = nn.Conv2d(config.channels, hidden, config.patch, stride=config.patch)
        self.positions = nn.Parameter(torch.empty(config.table, hidden))
        self.layers = nn.ModuleList(GridTowerLayer(config) for _ in range(config.layers))
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
        merge = self.config.merge
        rows, columns = self.config.token_grid
        x = self.patch(pixels).view(-1, rows, merge, columns, merge)
        x = x.permute(1, 3, 2, 4, 0).reshape(1, -1, self.config.hidden) + self.placed
        taps: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers):
            x = layer(x, self.cos, self.sin)
            if number in self.config.taps:
                taps[number] = x
        return (x, *(taps[number] for number in self.config.taps))


class GridTowerLayer(nn.Module):
    """[1, N, hidden], and cos and sin [1, N, 1, E] -> [1, N, hidden]."""

    def __init__(self, config: GridTowerConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads, self.activation = config.heads, ACTIVATIONS[config.activation]
        self.attention_norm = LayerNorm(hidden, _NORM)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.ffn_norm = LayerNorm(hidden, _NORM)
        self.up = nn.Linear(hidden, config.ffn)
        self.down = nn.Linear(config.ffn, hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        parts = self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        q, k, v = (part.view(1, x.shape[1], self.heads, -1) for part in parts)
        x = x + self.out(full_attention(rotate(q, cos, sin), rotate(k, cos, sin), v))
        return x + self.down(self.activation(self.up(self.ffn_norm(x))))


class BlockMerger(nn.Module):
    """[1, N, hidden] -> [1, N / merge², out]: blocks of patches, by two linears.

    The norm is of each patch, or of a whole block.
    """

    def __init__(self, config: GridTowerConfig, norm_of_block: bool) -> None:
        super().__init__()
        self.width = config.hidden * config.merge**2
        self.norm_of_block = norm_of_block
        self.norm = LayerNorm(self.width if norm_of_block else config.hidden, _NORM)
        self.up = nn.Linear(self.width, self.width)
        self.down = nn.Linear(self.width, config.out)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_of_block:
            x = self.norm(x.reshape(1, -1, self.width))
        else:
            x = self.norm(x).reshape(1, -1, self.width)
        return self.down(ACTIVATIONS["gelu"](self.up(x)))


class BlockProjector(nn.Module):
    """Results of a ``GridTower`` -> (tokens [1, n, out], additions [taps, 1, n, out]); the tokens
    alone if there are no taps.
    """

    def __init__(self, config: GridTowerConfig) -> None:
        super().__init__()
        self.merger = BlockMerger(config, norm_of_block=False)
        self.taps = nn.ModuleList(BlockMerger(config, norm_of_block=True) for _ in config.taps)

    def forward(self, last: Tensor, *taps: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        tokens: Tensor = self.merger(last)
        if not taps:
            return tokens
        added = [merger(x) for merger, x in zip(self.taps, taps, strict=True)]
        return tokens, torch.stack(added)
