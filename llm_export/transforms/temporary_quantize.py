"""Quantize some modules temporarily."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from llm_export.config.quant_schema import RoundingConfig
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.base import Needs
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec
from llm_export.transforms.quantize import by_grids


@contextlib.contextmanager
def quantized(
    model: nn.Module,
    choices: Sequence[LayerQuantSpec],
    settings: RoundingConfig,
    outliers: Mapping[str, Tensor],
) -> Iterator[None]:
    """Context in which the modules of ``choices`` are quantized as by the quantize stage.

    Min-max replaces rounding methods that need inputs: such methods run through the whole model,
    which is too slow for every candidate.

    Args:
        outliers: name -> input channels that are kept in float32.
    """
    chosen = [c for c in choices if c.scheme != "none"]
    former = {c.name: model.get_submodule(c.name) for c in chosen}
    weights = {name: module.weight for name, module in former.items()}
    if ROUNDERS.get(settings.method).needs is not Needs.nothing:
        settings = replace(settings, method="minmax")
    rounded = round_weights(model, chosen, settings, outliers=outliers)
    grids = {name: one.grid for name, one in rounded.items()}
    try:
        by_grids(chosen, grids, outliers).apply(model)
        yield
    finally:
        for name, module in former.items():
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module)
            module.weight = weights[name]
