"""Put a float32 product beside a quantized one: zero points of groups, outlier channels."""

from __future__ import annotations

from torch import Tensor, nn

from llm_export.models.components.corrected import CorrectedLinear
from llm_export.quant.grid import Grid


def correct(model: nn.Module, name: str, grid: Grid, columns: Tensor | None) -> None:
    """Exchange the linear ``name`` for one that carries its grid's offsets and its outliers."""
    base = model.get_submodule(name)
    assert isinstance(base, nn.Linear)
    values = None if columns is None else base.weight.detach()[:, columns].float()
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, CorrectedLinear(base, grid.offset, columns, values))
