"""Fill in which rotations of a quantization option the model and the rest of the recipe allow."""

from __future__ import annotations

from dataclasses import replace

from llm_export.config.quant_schema import QuantConfig, RotateConfig
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.models.definitions.base import Definition
from llm_export.models.task import definition_of

BLOCK = 64
"""Channels that R4 rotates together."""


def fill_rotations(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, tuple[str, ...]]:
    """The settings with a value for an open ``rotate.r1``, and a line for each part that is left
    out."""
    asked = quant.rotate
    if asked is None or asked.r1 is not None:
        return quant, ()
    why = _excluded(recipe, definition)
    if why is not None:
        return replace(quant, rotate=None), (f"quant.rotate: off, {why}",)
    whole = replace(asked, r1=True, r4=BLOCK if asked.r4 is None else asked.r4)
    tried = replace(recipe, quant=replace(quant, rotate=whole))
    refusals = definition.rotation_refusals(tried)
    r1 = "r1" not in refusals
    r4 = None if "r4" in refusals and asked.r4 is None else whole.r4
    notes = [] if r1 else [f"quant.rotate.r1: false, {refusals['r1']}"]
    if r4 != whole.r4:
        notes.append(f"quant.rotate.r4: null, {refusals['r4']}")
    left = r1 or asked.r2 or r4 is not None
    return replace(quant, rotate=replace(whole, r1=r1, r4=r4) if left else None), tuple(notes)


def rotates_wholly(recipe: Recipe) -> bool:
    """Whether nothing of an open rotation is left out for the recipe's model, so that what was
    measured of an option with one is expected of it too."""
    quant = replace(recipe.quant, rotate=RotateConfig(r1=None))
    return not fill_rotations(recipe, quant, definition_of(recipe.model))[1]


def _excluded(recipe: Recipe, definition: Definition) -> str | None:
    if "rotate" not in definition.transforms:
        tier = definition.tier.format(family=recipe.model.family)
        return f"models of the {tier} tier cannot be rotated"
    if definition.further_methods:
        return "what encodes images writes into the residual stream too"
    if recipe.checkpoint.adapter_mode is AdapterMode.separate:
        return "it would turn what the separate adapter reads and writes"
    return None
