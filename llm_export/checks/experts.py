"""Check that a recipe that asks for the selected experts only can have them."""

from __future__ import annotations

import re

from llm_export.checks.fixes import alternatives
from llm_export.config.schema import ExpertsKind
from llm_export.errors import Problem
from llm_export.predict.model_shapes import shapes_of
from llm_export.resolve.experts import obstacle
from llm_export.resolve.recipe import ResolvedRecipe

_EXPERT = re.compile(r"\.experts\.\d+\.")
_WHERE = "runtime.experts"


def experts_fit(resolved: ResolvedRecipe) -> list[Problem]:
    if resolved.recipe.runtime.experts is not ExpertsKind.active:
        return []
    fix = alternatives("runtime.experts=auto", "runtime.experts=all")
    why = obstacle(resolved.recipe, resolved.capabilities)
    if why:
        return [Problem(f"the program cannot compute the selected experts only: {why}",
                        _WHERE, fix)]  # fmt: skip
    shapes = shapes_of(resolved)
    if shapes is None or any(_EXPERT.search(m.name) for m in shapes.matrices):
        return []
    name = resolved.recipe.model.name
    return [Problem(f"the model {name} has no mixture of experts", _WHERE, "runtime.experts=auto")]
