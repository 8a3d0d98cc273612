"""Shipped quantization options of which a model gets a part only."""

from __future__ import annotations

from dataclasses import replace

from llm_export.config.quant_schema import QuantConfig
from llm_export.config.schema import Recipe
from llm_export.models.task import definition_of
from llm_export.quant.alternatives import rotated_options, split_options
from llm_export.resolve.head_split import whole_because
from llm_export.resolve.rotations import rotates_wholly


def partial_options(recipe: Recipe) -> frozenset[str]:
    """Options whose rotations, or head in two parts, are left out for the recipe's model: what was
    measured of them is not expected of it."""
    found = frozenset() if rotates_wholly(recipe) else rotated_options()
    definition = definition_of(recipe.model)
    split = [
        name
        for name, rows in split_options().items()
        if whole_because(replace(recipe, quant=QuantConfig(head_split=rows)), definition)
    ]
    return found.union(split)
