"""Check that the model and the rest of the recipe allow the float transforms.

SmoothQuant, AWQ and rotations rescale or rotate the inputs and outputs of linear layers before
quantization.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_export.config.quant_schema import RotateConfig
from llm_export.config.schema import AdapterMode
from llm_export.errors import Problem
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.resolve.rotations import ROUNDED, rounds_products

_DONE = {"smooth": "smoothed", "awq": "scaled by AWQ", "rotate": "rotated"}
_WHAT = {
    "smooth": "smoothing rescales",
    "awq": "AWQ rescales",
    "rotate": "rotating turns",
}

_OFF = {"r1": "false", "r4": "null"}


def wanted(resolved: ResolvedRecipe) -> list[str]:
    """The float transforms that the recipe enables."""
    recipe = resolved.recipe
    return [name for name in _DONE if getattr(recipe.quant, name) is not None]


def findings(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    definition = resolved.definition
    found = [
        Problem(
            f"models of definition '{definition.name}' cannot be {_DONE[name]}",
            f"quant.{name}",
            f"quant.{name}=null",
        )
        for name in wanted(resolved)
        if name not in definition.transforms
    ]
    if recipe.quant.smooth is not None and recipe.quant.awq is not None:
        found.append(
            Problem(
                "smoothing and AWQ both choose the one scale that a channel has; AWQ's search "
                "counts the loss of int8 activations too",
                "quant.awq",
                "quant.smooth=null, or quant.awq=null",
            )
        )
    if "rotate" in definition.transforms:
        refusals = dict(definition.rotation_refusals(recipe))
        asked = recipe.quant.rotate
        if asked is not None and asked.r4 is not None and rounds_products(recipe):
            refusals.setdefault("r4", ROUNDED)
        found += _rotation(resolved, refusals)
    return found


def _rotation(resolved: ResolvedRecipe, refusals: Mapping[str, str]) -> list[Problem]:
    settings = resolved.recipe.quant.rotate
    if settings is None:
        return []
    found = []
    for key, why in refusals.items():
        off = "" if _is_all(settings, key) else f"quant.rotate.{key}={_OFF[key]}, or "
        fix = f"{off}quant.rotate=null"
        found.append(Problem(why, f"quant.rotate.{key}", fix))
    return found


def _is_all(settings: RotateConfig, key: str) -> bool:
    """Whether nothing is rotated without the setting."""
    rotates = {"r1": bool(settings.r1), "r2": settings.r2, "r4": settings.r4 is not None}
    return sum(rotates.values()) == 1


def unfit_beside_adapter(resolved: ResolvedRecipe) -> list[Problem]:
    """Problems with settings that a separate adapter excludes."""
    mode = f"checkpoint.adapter_mode={AdapterMode.merged.value}"
    return [
        Problem(
            f"{_WHAT[name]} what the adapter reads and writes, so that no other adapter would fit",
            f"quant.{name}",
            f"quant.{name}=null, or {mode}",
        )
        for name in wanted(resolved)
    ]
