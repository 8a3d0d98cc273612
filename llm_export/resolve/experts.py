"""Resolve which experts of a mixture a program computes."""

from __future__ import annotations

from llm_export.backends.capabilities import Capabilities
from llm_export.compat.versions import lowering_untested
from llm_export.config.schema import ExpertsKind, Recipe
from llm_export.quant.schemes import SCHEMES, Flow


def experts_of(recipe: Recipe, capabilities: Capabilities) -> ExpertsKind:
    """``active`` or ``all``. ``active`` is returned as stated where it cannot be had, and refused
    by the checks.
    """
    stated = recipe.runtime.experts
    if stated is not ExpertsKind.auto:
        return stated
    return ExpertsKind.all if obstacle(recipe, capabilities) else ExpertsKind.active


def obstacle(recipe: Recipe, capabilities: Capabilities) -> str:
    """Why a program cannot compute the selected experts only; empty if it can."""
    if not capabilities.active_experts:
        return "operators of the backend need a number of rows that does not depend on the data"
    if any(rule.scheme in SCHEMES and SCHEMES[rule.scheme].flow is Flow.pt2e
           for rule in recipe.quant.rules):  # fmt: skip
        return "static quantization calibrates every expert with all tokens"
    return lowering_untested()
