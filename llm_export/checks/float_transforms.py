"""Whether a model, and what else the recipe wants, bears the transforms before quantization.

Smoothing, AWQ and rotations rescale and turn what matrices read and write. Each finding is
(what, key, fix).
"""

from __future__ import annotations

from llm_export.config.quant_schema import TiedKind
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.models.definitions import DEFINITIONS

Finding = tuple[str, str, str]

_DONE = {"smooth": "smoothed", "awq": "scaled by AWQ", "rotate": "rotated"}
_APART = {
    "smooth": "smoothing rescales",
    "awq": "AWQ rescales",
    "rotate": "rotating turns",
}


def wanted(recipe: Recipe) -> list[str]:
    """The transforms that the recipe asks for."""
    return [name for name in _DONE if getattr(recipe.quant, name) is not None]


def findings(recipe: Recipe) -> list[Finding]:
    definition = DEFINITIONS.get(recipe.model.definition)
    found = [
        (f"models of definition '{definition.name}' cannot be {_DONE[name]}", f"quant.{name}",
         f"quant.{name}=null")
        for name in wanted(recipe) if name not in definition.transforms
    ]  # fmt: skip
    if recipe.quant.smooth is not None and recipe.quant.awq is not None:
        found.append((
            "smoothing and AWQ both choose the one scale that a channel has; AWQ's search counts "
            "the loss of int8 activations too", "quant.awq", "quant.smooth=null or quant.awq=null",
        ))  # fmt: skip
    if "rotate" in definition.transforms:
        found += _rotation(recipe, definition.rotation_refusal(recipe))
    return found


def _rotation(recipe: Recipe, why: str | None) -> list[Finding]:
    settings = recipe.quant.rotate
    if settings is None or not settings.r1:
        return []
    found = []
    if why is not None:
        found.append((f"the residual stream cannot be rotated: {why}", "quant.rotate.r1",
                      "quant.rotate.r1=false, or quant.rotate=null"))  # fmt: skip
    if recipe.quant.tied is TiedKind.share:
        found.append((
            "a rotated residual stream needs an embedding and an output matrix of their own: "
            "the last norm's gain goes into one of them", "quant.tied",
            "quant.tied=apart or auto, or quant.rotate.r1=false",
        ))  # fmt: skip
    return found


def unfit_beside_adapter(recipe: Recipe) -> list[Finding]:
    """What an adapter that is kept apart excludes."""
    mode = f"checkpoint.adapter_mode={AdapterMode.merged.value}"
    return [
        (f"{_APART[name]} what the adapter reads and writes, so that no other adapter would fit",
         f"quant.{name}", f"quant.{name}=null, or {mode}")
        for name in wanted(recipe)
    ]  # fmt: skip
