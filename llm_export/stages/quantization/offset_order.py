"""Which groups' offsets share a column, where some do: those that matter least."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.config.schema import Recipe
from llm_export.pipeline.artifacts import Prepared
from llm_export.quant.grid import Grid
from llm_export.quant.inputs import group_mean_squares
from llm_export.quant.mean_columns import kept_columns, shares_columns
from llm_export.quant.rounding.base import Rounded
from llm_export.stages.quantization.calibration import (
    calibration_windows,
    rounding_calibrates,
)

_NUMBER = re.compile(r"\.\d+(?=\.|$)")


def ordered_offsets(
    artifact: Prepared,
    recipe: Recipe,
    rounded: Mapping[str, Rounded],
    outliers: Mapping[str, Tensor],
) -> dict[str, Grid]:
    """Name -> quantized weight, which says which groups of a block matter most where some share a
    column: those whose inputs have the largest means on the calibration text.
    """
    grids = {name: one.grid for name, one in rounded.items()}
    sharing = {
        choice.name: (choice.shape[1] // choice.group_size, choice.group_size)
        for choice in artifact.choices
        if choice.name in rounded
        and choice.group_size
        and choice.has_offset_columns
        and not choice.spec_of(rounded[choice.name].how).offset_columns
        and shares_columns(choice.shape[1] // choice.group_size, choice.group_size)
    }
    if not sharing or not (outliers or rounding_calibrates(recipe)):
        return grids
    windows = calibration_windows(recipe.quant.calibration, artifact.source, artifact.model)
    groups = {name: count for name, (count, _) in sharing.items()}
    squares = group_mean_squares(artifact.model, groups, windows, outliers)
    for name, order in orders(squares, sharing).items():
        grids[name] = replace(grids[name], order=order)
    return grids


def orders(
    squares: Mapping[str, Tensor], sharing: Mapping[str, tuple[int, int]]
) -> dict[str, Tensor]:
    """Name -> the groups of a block, those first whose inputs have the largest means.

    The order is one for the linears of a kind in all layers, also for those that no token reached.
    They then compute their further inputs by the same factors, which are stored and read once.

    Args:
        squares: name -> mean square of each group's mean.
        sharing: name -> number of groups, and inputs of each.
    """
    weights: dict[tuple[str, int, int], Tensor] = {}
    for name, found in squares.items():
        kind = (_kind(name), *sharing[name])
        share = found.reshape(kept_columns(*sharing[name]).blocks, -1).sum(0)
        share = share / share.sum().clamp(min=torch.finfo().tiny)
        weights[kind] = weights.get(kind, torch.zeros_like(share)) + share
    kinds = {name: (_kind(name), *layout) for name, layout in sharing.items()}
    return {
        name: weights[kind].argsort(descending=True, stable=True)
        for name, kind in kinds.items()
        if kind in weights
    }


def _kind(name: str) -> str:
    """The name without the number of the layer, which is the first."""
    return _NUMBER.sub(".*", name, count=1)
