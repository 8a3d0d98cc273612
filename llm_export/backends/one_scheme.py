"""NPU quantizers support one static scheme for the whole graph."""

from __future__ import annotations

from llm_export.backends.base import Resolved
from llm_export.config.quant_schema import ModuleKind
from llm_export.errors import Problem, RecipeError
from llm_export.quant.schemes import SCHEMES, Flow, Support, SupportTable

_INTEGERS = "the NPU computes in integers with ranges found by calibration"


def integers_only(*schemes: str, embedding: dict[str, Support]) -> SupportTable:
    """The support table of an NPU: static per-channel schemes for all linears and nothing else."""
    linear = {name: Support(per_channel=True, groups=0) for name in schemes}
    weights = [s.name for s in SCHEMES.values() if s.flow is Flow.weights]
    return SupportTable(
        {ModuleKind.linear: linear, ModuleKind.head: linear, ModuleKind.embedding: embedding},
        why_not=dict.fromkeys(weights, _INTEGERS),
    )


def static_scheme(resolved: Resolved) -> str | None:
    """The one static scheme of the rules; None if the recipe has none.

    Raises:
        RecipeError: there are several.
    """
    for problem in refusals(resolved):
        raise RecipeError(problem.what, where=problem.key, fix=problem.fix)
    return next((name for _, name in _static(resolved)), None)


def refusals(resolved: Resolved) -> list[Problem]:
    """Report a problem for each static scheme that differs from the first."""
    static = _static(resolved)
    return [
        Problem(
            f"{resolved.recipe.backend.name} takes one static scheme for the whole graph, "
            f"and the rules have {static[0][1]} and {name}",
            f"quant.rules[{index}]",
            f"quant.rules.{index}.scheme={static[0][1]}",
        )
        for index, name in static
        if name != static[0][1]
    ]


def _static(resolved: Resolved) -> list[tuple[int, str]]:
    rules = [(i, rule.scheme) for i, rule in enumerate(resolved.recipe.quant.rules)]
    return [(i, n) for i, n in rules if n in SCHEMES and SCHEMES[n].flow is Flow.pt2e]
