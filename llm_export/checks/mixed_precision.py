"""Checks of automatic mixed precision before a run."""

from __future__ import annotations

from llm_export.checks.fixes import alternatives, option_fix
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, nearest
from llm_export.quant.schemes import SCHEMES, refused_everywhere

BUDGETS = ("quant.bits_per_weight", "quant.file_megabytes")
_EXAMPLE = "quant.bits_per_weight=5, or quant.file_megabytes=100"


def auto_findings(recipe: Recipe) -> list[Problem]:
    quant = recipe.quant
    given = [key for key in BUDGETS if getattr(quant, key.partition(".")[2]) is not None]
    if quant.auto is None:
        return [
            Problem(
                "a budget is for automatic mixed precision, which the recipe does not ask for",
                key,
                f"{key}=null, or quant=auto",
            )
            for key in given
        ]
    if len(given) != 1:
        if not given:
            return [Problem("automatic mixed precision needs a budget", "quant", _EXAMPLE)]
        fix = alternatives(*(f"{key}=null" for key in given))
        return [Problem("both budgets are set", " and ".join(given), fix)]
    return _candidates(recipe)


def _candidates(recipe: Recipe) -> list[Problem]:
    assert recipe.quant.auto is not None
    candidates, key = recipe.quant.auto.candidates, "quant.auto.candidates"
    findings = [
        Problem(
            f"there is no scheme '{rule.scheme}'",
            f"{key}[{index}]",
            f"{key}.{index}.scheme={(nearest(rule.scheme, SCHEMES) or ['none'])[0]}",
        )
        for index, rule in enumerate(candidates)
        if rule.scheme not in SCHEMES
    ]
    usable = [
        rule
        for rule in candidates
        if rule.scheme != "none" and not refused_everywhere(recipe.backend.name, rule)
    ]
    if not usable and not findings:
        what = f"{recipe.backend.name} runs none of the candidates" if candidates else "it is empty"
        findings.append(Problem(what, key, option_fix(recipe, lambda rules: True) or "quant=none"))
    return findings
