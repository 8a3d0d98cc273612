"""Code shared by the AOTInductor backends, CUDA and Metal."""

from __future__ import annotations

from llm_export.backends.base import Resolved
from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import Problem, RecipeError
from llm_export.quant.schemes import SCHEMES, Flow, Support, SupportTable

_HALF = Support(per_channel=True, groups=0)
_CASTS = {"bf16": _HALF, "fp16": _HALF}
_WEIGHTS = [s.name for s in SCHEMES.values() if s.flow not in (Flow.none, Flow.cast)]

SUPPORT = SupportTable(
    dict.fromkeys(ModuleKind, _CASTS),
    why_not=dict.fromkeys(_WEIGHTS, "it takes weights that are packed for its own kernels only"),
)


def only_method(resolved: Resolved) -> str:
    """Name of the program's only method, which the partitioner needs.

    Raises:
        RecipeError: the recipe has several methods.
    """
    for problem in refusals(resolved):
        raise RecipeError(problem.what, where=problem.key, fix=problem.fix)
    return next(iter(resolved.methods.lengths))


def refusals(resolved: Resolved) -> list[Problem]:
    """Report a problem if fixed shapes require several methods."""
    methods = list(resolved.methods.lengths)
    if len(methods) == 1:
        return []
    what = (
        f"{resolved.recipe.backend.name} compiles one method a program, not {' and '.join(methods)}"
    )
    fix = "runtime.dynamic_shapes=true, or runtime.prefill_length=1"
    return [Problem(what, "runtime.dynamic_shapes", fix)]
