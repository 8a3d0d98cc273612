"""Replace modules whose quantized weight alone cannot represent the layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from llm_export.models.components.outlier_linear import MeanInputs, OutlierLinear
from llm_export.models.components.swapped_embedding import SwappedEmbedding, swap_pairs
from llm_export.quant.apply import set_weight
from llm_export.quant.grid import Grid
from llm_export.quant.layer_spec import LayerQuantSpec
from llm_export.quant.offset_columns import columns_of, inputs_of, with_offset_columns
from llm_export.quant.outlier_selection import by_product


def quantize_module(
    model: nn.Module, name: str, choice: LayerQuantSpec, grid: Grid, columns: Tensor | None
) -> None:
    """Give the module ``name`` its quantized weight, and another form if the kernel cannot apply
    group offsets or outlier columns.
    """
    if columns is not None or (grid.offset is not None and not choice.in_kernel):
        grid = use_outlier_linear(model, name, grid, columns, in_kernel=choice.in_kernel)
    set_weight(model.get_submodule(name), grid, choice.scheme, in_kernel=choice.in_kernel)


def use_outlier_linear(
    model: nn.Module, name: str, grid: Grid, columns: Tensor | None, *, in_kernel: bool = False
) -> Grid:
    """Replace the linear ``name`` by one that also holds group offsets and outlier columns; returns
    its new quantized weight.

    Args:
        in_kernel: the kernel applies the offsets itself.
    """
    base = model.get_submodule(name)
    assert isinstance(base, nn.Linear)
    values = None if columns is None else base.weight.detach()[:, columns].float()
    means, factors = None, None
    if grid.offset is not None and not in_kernel:
        further = columns_of(grid)
        means = MeanInputs(further.blocks, further.zeros, further.copies)
        factors = inputs_of(further, base.in_features // further.groups)
        grid = with_offset_columns(grid)
    selects = columns is not None and by_product(len(columns), base.in_features)
    made = OutlierLinear(base, means, factors, columns, values, by_product=selects)
    _exchange(model, name, made)
    return grid


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
