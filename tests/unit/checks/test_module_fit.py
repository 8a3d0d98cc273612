"""Quantization rules against the matrices of the model, in every tier, before any work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hf_families
import pytest

from llm_export import api
from llm_export.checks.fixes import without_rule
from llm_export.checks.module_fit import module_problems
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import ModelConfig, Recipe
from llm_export.errors import Problem
from llm_export.resolve.recipe import resolve


def recipe_of(*words: str, model: ModelConfig | None = None) -> Recipe:
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe
    return recipe if model is None else replace(recipe, model=model)


def problems(*words: str, model: ModelConfig | None = None) -> list[Problem]:
    return module_problems(resolve(recipe_of(*words, model=model)))


def generic(family: str, **changes: Any) -> ModelConfig:
    config = hf_families.CONFIGS[family]().to_dict() | changes
    return ModelConfig("m", "hf", config["model_type"], config)


def test_groups_that_do_not_divide_the_inputs() -> None:
    """The fix is the next smaller size, for all rules that share it."""
    found = problems("quant=8da4w", "quant.group_size=96")
    assert [p.key for p in found] == [f"quant.rules[{i}].group_size" for i in (0, 1)]
    assert "group_size 96 does not divide the 64 inputs of 'layers.0.attention" in found[0].what
    assert {p.fix for p in found} == {"quant.group_size=64"}
    assert problems("quant=8da4w", "quant.group_size=64") == []


def test_inputs_that_no_group_divides() -> None:
    """A finer scheme comes before a scale per channel, which loses most."""
    found = problems("quant=8da4w", "model.config.hidden_size=48")
    assert {p.fix for p in found} == {"quant=8da8w, or quant.group_size=null"}
    assert problems("quant=8da8w", "model.config.hidden_size=48") == []


@pytest.mark.parametrize(("family", "size"), [("gpt_neox", 32), ("bloom", 64)])
def test_the_generic_tier(family: str, size: int) -> None:
    """GPT-NeoX has matrices of 64 and of 96 inputs, which one size is to divide."""
    model = generic(family)
    assert problems("quant=8da4w", model=model) == []
    found = problems("quant=8da4w", "quant.group_size=128", model=model)
    assert "does not divide the 64 inputs of 'hf." in found[0].what
    assert {p.fix for p in found} == {f"quant.group_size={size}"}
    beyond = recipe_of("quant.rules=[{kind: linear, scheme: 8da8w, layers: 7-}]", model=model)
    keys = [p.key for p in find_problems(beyond) if p.key.startswith("quant.rules")]
    assert [key.removesuffix(".layers") for key in keys] == ["quant.rules[0]"]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[{kind: linear, scheme: 8da8w}, {pattern: '.*qkv.*', scheme: none, kind: linear}]",
         "the rule matches no module: kind=linear, pattern=.*qkv.*, layers=None"),
        ("[{kind: linear, scheme: 8da8w, outliers: 64}]",
         "64 outliers of the 64 inputs of 'layers.0.attention"),
    ],
)  # fmt: skip
def test_rules_without_a_place(rules: str, words: str) -> None:
    found = problems(f"quant.rules={rules}")
    assert len(found) == 1
    assert words in found[0].what
    assert found[0].fix


@pytest.mark.parametrize(
    "pattern", [".*", r"layers\.[01]\..*", "it's", r"a\\'b", "1e5", "x, y: {z}"], ids=repr
)
def test_the_fix_of_a_rule_without_a_place_is_the_rules_without_it(pattern: str) -> None:
    first = QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=32, layers="0,1-")
    rules = [first, QuantRule(scheme="8w", pattern=pattern), QuantRule("none", pattern="no.*ne")]
    made = recipe_of("quant=none")
    fix = without_rule(replace(made, quant=replace(made.quant, rules=rules)), 2)
    assert fix.startswith("quant.rules=[{scheme:8da4w,kind:linear,layers:'0,1-',group_size:32},{")
    assert recipe_of("quant=none", fix).quant.rules == rules[:2]
    assert without_rule(replace(made, quant=replace(made.quant, rules=rules[:1])), 0) == (
        "quant=none"
    )


def test_layers_that_the_model_lacks_are_reported_once() -> None:
    for words in ("layers: '5'", "layers: 7-"):
        rules = f"quant.rules=[{{kind: linear, scheme: 8da8w, {words}}}]"
        found = [str(p) for p in api.check(None, ["model=tiny", "backend=xnnpack", rules])]
        assert len(found) == 1
        assert "quant.rules.0.layers=" in found[0]


def test_a_run_is_refused_as_validate_refuses() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant=8da4w", "quant.group_size=256"]
    said = [str(p) for p in api.check(None, words)]
    assert said == [str(p) for p in api.validate(None, words, build=False).problems]
    assert said
