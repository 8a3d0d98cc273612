"""Fill in which rotations of a quantization option the model and the rest of the recipe allow."""

from __future__ import annotations

from dataclasses import replace

from llm_export.backends import BACKENDS
from llm_export.config.quant_schema import QuantConfig, RotateConfig, TiedKind
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.models.definitions.base import Definition
from llm_export.models.task import definition_of
from llm_export.quant.schemes import SCHEMES, Flow

BLOCK = 64
"""Channels that R4 rotates together."""


def fill_rotations(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, tuple[str, ...]]:
    """The settings with a value for an open ``rotate.r1``, and a line for each part that is left
    out."""
    quant, notes = _opened(recipe, quant, definition)
    quant, apart = _without_product(replace(recipe, quant=quant), definition)
    return quant, (*notes, *apart)


def rounds_products(recipe: Recipe) -> bool:
    """Whether the quantizer of the recipe's static scheme quantizes rotations at run time, too."""
    backend = recipe.backend.name
    if backend not in BACKENDS or not BACKENDS.get(backend).capabilities.integers_throughout:
        return False
    schemes = [SCHEMES[r.scheme] for r in recipe.quant.rules if r.scheme in SCHEMES]
    return any(scheme.flow is Flow.pt2e for scheme in schemes)


ROUNDED = (
    "the backend's quantizer rounds the input of the rotation to one scale for the tensor, which "
    "is what the rotation is to avoid"
)
"""Why R4 cannot help where a program is in integers throughout."""


def _opened(
    recipe: Recipe, quant: QuantConfig, definition: Definition
) -> tuple[QuantConfig, tuple[str, ...]]:
    asked = quant.rotate
    if asked is None or asked.r1 is not None:
        return quant, ()
    why = _excluded(recipe, definition)
    if why is not None:
        return replace(quant, rotate=None), (f"quant.rotate: off, {why}",)
    whole = replace(asked, r1=True, r4=BLOCK if asked.r4 is None else asked.r4)
    tried = replace(recipe, quant=replace(quant, rotate=whole))
    refusals = dict(definition.rotation_refusals(tried))
    if rounds_products(tried):
        refusals.setdefault("r4", ROUNDED)
    r1 = "r1" not in refusals
    r4 = None if "r4" in refusals and asked.r4 is None else whole.r4
    notes = [] if r1 else [f"quant.rotate.r1: false, {refusals['r1']}"]
    if r4 != whole.r4:
        notes.append(f"quant.rotate.r4: null, {refusals['r4']}")
    left = r1 or asked.r2 or r4 is not None
    return replace(quant, rotate=replace(whole, r1=r1, r4=r4) if left else None), tuple(notes)


def _without_product(recipe: Recipe, definition: Definition) -> tuple[QuantConfig, tuple[str, ...]]:
    """A tied table is parted from the output matrix where the product that keeps it tied after R1
    would be rounded."""
    quant = recipe.quant
    rotates = quant.rotate is not None and bool(quant.rotate.r1)
    if not rotates or quant.tied is not TiedKind.auto or not rounds_products(recipe):
        return quant, ()
    if "rotate" not in definition.transforms or not definition.tied(recipe):
        return quant, ()
    return replace(quant, tied=TiedKind.untied), (_APART,)


_APART = (
    "quant.tied: untied, the product that keeps the rotated table and the output matrix one would "
    "be rounded to integers, too"
)


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
