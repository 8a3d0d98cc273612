"""Quantize weights by the recipe's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.quant.apply import is_quantized
from llm_export.quant.grid import Grid
from llm_export.quant.rules import LayerQuantSpec
from llm_export.transforms.base import Transform
from llm_export.transforms.outlier_linear import quantize_module, swap_table


def by_grids(
    choices: Sequence[LayerQuantSpec], grids: Mapping[str, Grid], outliers: Mapping[str, Tensor]
) -> Transform:
    """A transform that quantizes exactly the selected modules.

    Args:
        outliers: name -> input channels that are kept in float32.
    """

    def apply(model: nn.Module) -> int:
        for choice in choices:
            if not choice.on_grid:
                continue
            grid = grids[choice.name]
            if choice.shared_with and grid.spec.bits == 4 and not choice.with_head:
                grid = swap_table(model, choice.name, grid)
            quantize_module(model, choice.name, choice, grid, outliers.get(choice.name))
        return len(grids)

    def check(model: nn.Module) -> None:
        for choice in choices:
            done = is_quantized(model.get_submodule(choice.name).weight)  # type: ignore[arg-type]
            if done != choice.on_grid:
                state = "is" if done else "is not"
                raise PostConditionError(
                    f"'{choice.name}' {state} quantized; its scheme is {choice.scheme}"
                )

    return Transform("quantize", apply, check)
