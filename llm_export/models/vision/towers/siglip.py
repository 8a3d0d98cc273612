"""SigLIP (arXiv:2303.15343), without its pooling head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.vision.config import Size, TowerConfig
from llm_export.models.vision.towers.encoder import EncoderLayer, Patches, layer_norm


def nearest_positions(grid: Size, table: Size) -> list[int]:
    """For each patch of ``grid``, row by row, the entry of the table that is as far along each
    side: NaViT's fractional coordinates (arXiv:2307.06304), in the float32 arithmetic of
    Idefics 2 and 3.
    """
    rows, columns = (_buckets(*sides) for sides in zip(grid, table, strict=True))
    return [row * table[1] + column for row in rows for column in columns]


def _buckets(count: int, side: int) -> list[int]:
    boundaries = torch.arange(1 / side, 1.0, 1 / side, device="cpu")
    places = torch.arange(count, dtype=torch.float32, device="cpu") * (
        1.0 / torch.tensor(count, device="cpu")
    )
    found = torch.bucketize(places.clamp(max=1.0 - 1e-6), boundaries, right=True)
    return [int(index) for index in found]


class Siglip(nn.Module):
    """Pixels [B, 3, h, w] of the configured size -> features [B, N, D], row by row."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        self.patches = Patches(config.channels, config.patch, encoder.hidden)
        self.positions = nn.Parameter(
            torch.empty(config.table[0] * config.table[1], encoder.hidden)
        )
        self.layers = nn.ModuleList(EncoderLayer(encoder) for _ in range(encoder.layers))
        self.norm = layer_norm(encoder.hidden, encoder.eps)
        self._plan_positions()

    def _plan_positions(self) -> None:
        """Prepare ``placed`` for the grid of the images."""
        places = nearest_positions(self.config.grid, self.config.table)
        # None: the table as it is. A selection would be one more operator of the program.
        self.places = None if places == list(range(self.positions.shape[0])) else places

    def placed(self) -> Tensor:
        """[N, D] the position embedding of each patch."""
        return self.positions if self.places is None else self.positions[self.places]

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels) + self.placed()
        for layer in self.layers:
            x = layer(x)
        features: Tensor = self.norm(x)
        return features
