"""Replace modules whose quantized weight alone cannot represent the layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.models.components.swapped_embedding import SwappedEmbedding, swap_pairs
from llm_export.quant.grid import Grid


def use_outlier_linear(model: nn.Module, name: str, grid: Grid, columns: Tensor | None) -> None:
    """Replace the linear ``name`` by one that also holds group offsets and outlier columns."""
    base = model.get_submodule(name)
    assert isinstance(base, nn.Linear)
    values = None if columns is None else base.weight.detach()[:, columns].float()
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, OutlierLinear(base, grid.offset, columns, values))


def swap_table(model: nn.Module, name: str, grid: Grid) -> Grid:
    """Replace the embedding ``name`` by one with the byte order of a linear weight; returns its
    new quantized weight.
    """
    base = model.get_submodule(name)
    assert isinstance(base, nn.Embedding)
    _exchange(model, name, SwappedEmbedding.stands_for(base))
    return replace(grid, q=swap_pairs(grid.q).contiguous())


def _exchange(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
