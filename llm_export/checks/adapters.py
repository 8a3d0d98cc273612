"""Whether a separate LoRA adapter fits the model and the quantization; see ``rules.py``."""

from __future__ import annotations

from dataclasses import replace

from llm_export.checks import float_transforms as float_checks
from llm_export.checks.definitions import or_definition
from llm_export.checks.fixes import alternatives, rule_fix
from llm_export.config.schema import AdapterMode
from llm_export.errors import Problem
from llm_export.resolve.recipe import ResolvedRecipe


def adapter_fits_mode(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    source, key = recipe.checkpoint, "checkpoint.adapter_mode"
    if source.adapter_mode is not AdapterMode.separate:
        return []
    if source.adapter is None:
        return [Problem("there is no adapter to keep separate", key,
                        f"{key}=merged, or checkpoint.adapter=FOLDER")]  # fmt: skip
    definition = resolved.definition
    problems = []
    if "lora" not in definition.transforms:
        problems.append(
            Problem(f"models of definition '{definition.name}' keep no adapter separate", key,
                    f"{key}=merged{or_definition(recipe, lambda d: 'lora' in d.transforms)}")
        )  # fmt: skip
    for index, rule in enumerate(recipe.quant.rules):
        for name, word in (("outliers", "outlier channels"), ("zero_point", "zero points")):
            if getattr(rule, name):
                what = f"a matrix with an adapter beside it can have no {word}"
                plain = rule_fix(
                    recipe, index, replace(rule, **{name: type(getattr(rule, name))()})
                )
                fix = alternatives(plain, f"{key}=merged")
                problems.append(Problem(what, f"quant.rules[{index}].{name}", fix))
    return problems + float_checks.unfit_beside_adapter(resolved)
