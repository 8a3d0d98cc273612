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
from llm_export.quant.mean_columns import shares_columns
from llm_export.quant.offset_columns import columns_of
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

    The order is one for the linears of a kind in all layers. They then compute their further inputs
    by the same factors, which are stored and read once.
    """
    grids = {name: one.grid for name, one in rounded.items()}
    sharing = {
        choice.name: choice.shape[1] // choice.group_size
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
    squares = group_mean_squares(artifact.model, sharing, windows, outliers)
    weights: dict[str, Tensor] = {}
    for name, found in squares.items():
        blocks = columns_of(grids[name]).blocks
        share = found.reshape(blocks, -1).sum(0) / found.sum().clamp(min=torch.finfo().tiny)
        weights[_kind(name)] = weights.get(_kind(name), torch.zeros_like(share)) + share
    for name in squares:
        order = weights[_kind(name)].argsort(descending=True, stable=True)
        grids[name] = replace(grids[name], order=order)
    return grids


def _kind(name: str) -> str:
    """The name without the numbers of layers."""
    return _NUMBER.sub(".*", name)
