"""CLIP's vision tower (arXiv:2103.00020), without its projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llm_export.models.vision.config import TowerConfig
from llm_export.models.vision.towers.encoder import EncoderLayer, Patches, layer_norm


class Clip(nn.Module):
    """Pixels [B, 3, h, w] of the configured size -> features [B, N, D] of the patches, row by row,
    after ``feature_layer`` layers. The class token takes part in attention and is left out of the
    features.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        encoder = config.encoder
        rows, columns = config.table
        self.patches = Patches(config.channels, config.patch, encoder.hidden, bias=False)
        self.token = nn.Parameter(torch.empty(encoder.hidden))
        self.positions = nn.Parameter(torch.empty(1 + rows * columns, encoder.hidden))
        self.first_norm = layer_norm(encoder.hidden, encoder.eps)
        count = encoder.layers if config.feature_layer is None else config.feature_layer
        self.layers = nn.ModuleList(EncoderLayer(encoder) for _ in range(count))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels)
        token = self.token.expand(x.shape[0], 1, -1)
        x = self.first_norm(torch.cat((token, x), dim=1) + self.positions)
        for layer in self.layers:
            x = layer(x)
        return x[:, 1:]
