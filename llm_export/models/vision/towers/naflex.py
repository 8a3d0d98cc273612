"""SigLIP 2 of the NaFlex form (arXiv:2502.14786), whose table of positions is resized to the grid
of an image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from llm_export.models.vision.towers.siglip import Siglip


class NaFlex(Siglip):
    """As ``Siglip``. The resized table is a constant, because images have one size."""

    resized: Tensor

    def _plan_positions(self) -> None:
        rows, columns = self.config.grid
        empty = torch.empty(rows * columns, self.config.encoder.hidden)
        self.register_buffer("resized", empty, persistent=False)

    def init_buffers(self) -> None:
        """Resize the table, once it has values."""
        table = self.positions.float().reshape(1, *self.config.table, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(
            table, size=self.config.grid, mode="bilinear", align_corners=False, antialias=True
        )
        self.resized = resized[0].flatten(1).transpose(0, 1).contiguous().to(self.positions.dtype)

    def placed(self) -> Tensor:
        return self.resized
