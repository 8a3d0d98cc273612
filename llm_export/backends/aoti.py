"""What the backends have in common that compile by AOTInductor: CUDA and Metal."""

from __future__ import annotations

from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError
from llm_export.quant.schemes import SCHEMES, Flow, Support, SupportTable
from llm_export.resolve.methods import shapes_of

_HALF = Support(per_channel=True, groups=0)
_CASTS = {"bf16": _HALF, "fp16": _HALF}
_WEIGHTS = [s.name for s in SCHEMES.values() if s.flow not in (Flow.none, Flow.cast)]

SUPPORT = SupportTable(
    dict.fromkeys(ModuleKind, _CASTS),
    why_not=dict.fromkeys(_WEIGHTS, "it takes weights that are packed for its own kernels only"),
)


def only_method(recipe: Recipe) -> str:
    """Name of the program's method: a partitioner is told one.

    Raises:
        RecipeError: the recipe asks for several.
    """
    for what, where, fix in refusals(recipe):
        raise RecipeError(what, where=where, fix=fix)
    return next(iter(shapes_of(recipe).methods))


def refusals(recipe: Recipe) -> list[tuple[str, str, str]]:
    """(what, key, fix) where fixed shapes make several methods."""
    methods = list(shapes_of(recipe).methods)
    if len(methods) == 1:
        return []
    what = f"{recipe.backend.name} compiles one method a program, not {' and '.join(methods)}"
    fix = "runtime.dynamic_shapes=true or runtime.prefill_length=1"
    return [(what, "runtime.dynamic_shapes", fix)]
