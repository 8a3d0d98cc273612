"""Quantization options for modules that no text runs through, and backends of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llm_export.checks.rules import find_problems
from llm_export.config.composed import Composed
from llm_export.config.quant_options import quant_options
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.schema import Recipe
from llm_export.resolve.recipe import resolve

OPTIONS = quant_options()


@pytest.fixture
def recipe(composed: Callable[..., Composed]) -> Recipe:
    return composed("model=tiny_see", "backend=xnnpack", "quant=8da4w").recipe


def with_quant(recipe: Recipe, **changed: Any) -> Recipe:
    return replace(recipe, quant=replace(recipe.quant, **changed))


def with_methods(recipe: Recipe, **methods: str) -> Recipe:
    return replace(recipe, backend=replace(recipe.backend, methods=methods))


@pytest.mark.parametrize(
    ("backend", "scheme", "said"),
    [
        (None, "8da8w", "8da8w per channel for the linear layers of vision_encoder, instead of "
         "8da4w in groups of 32"),
        ("coreml", "8w", "8w per channel"),
        ("mlx", "none", "float32 for"),
    ],
)  # fmt: skip
def test_a_shipped_option_has_a_rule_for_the_vision_encoder(
    recipe: Recipe, backend: str | None, scheme: str, said: str
) -> None:
    made = resolve(with_methods(recipe, vision_encoder=backend) if backend else recipe)
    first, *others = made.recipe.quant.rules
    assert (first.scheme, first.group_size) == (scheme, None)
    assert {rule.scheme for rule in others} == {"8da4w", "8w"}
    (note,) = [each for each in made.notes if "vision_encoder" in each]
    assert said in note


def test_its_group_size_may_be_another(recipe: Recipe) -> None:
    rules = [replace(r, group_size=r.group_size and 64) for r in recipe.quant.rules]
    made = resolve(with_quant(recipe, rules=rules, group_size=64))
    assert any("instead of 8da4w in groups of 64" in note for note in made.notes)


@pytest.mark.parametrize("option", ["8da8w", "none"])
def test_an_option_that_fits_stays_as_it_is(recipe: Recipe, option: str) -> None:
    rules = list(OPTIONS.get(option, ()))
    made = resolve(with_quant(recipe, name=option, rules=rules, group_size=None))
    assert not any("tower" in rule.pattern for rule in made.recipe.quant.rules)


def test_stated_rules_stay_as_they_are(recipe: Recipe) -> None:
    made = resolve(with_quant(recipe, rules=[QuantRule(scheme="8da4w")]))
    assert len(made.recipe.quant.rules) == 1


def test_a_module_has_the_backend_of_its_method(recipe: Recipe) -> None:
    made = resolve(with_methods(recipe, vision_encoder="coreml+xnnpack"))
    assert made.backend_of("tower.layers.0.attention.q") == "coreml"
    assert made.backend_of("language.layers.0.attention.q") == "xnnpack"
    assert {backend.name for backend in made.all_backends} == {"xnnpack", "coreml"}
    one = made.of_further("vision_encoder")
    assert [backend.name for backend in one.backends] == ["coreml", "xnnpack"]
    assert (one.methods.dynamic, one.recipe.backend.options) == (False, {})
    assert made.of_further("token_embedding").methods.dynamic


@pytest.mark.parametrize(
    ("method", "chain", "said"),
    [
        ("forward", "xnnpack", "such methods: token_embedding, vision_encoder"),
        ("vision_encoder", "xnnpak", "there is no backend 'xnnpak'"),
        ("token_embedding", "coreml",
         "coreml takes fixed shapes only, and token_embedding any number of tokens"),
        ("vision_encoder", "portable+portable", "a backend is named twice"),
    ],
)  # fmt: skip
def test_methods_that_cannot_be_are_refused(
    recipe: Recipe, method: str, chain: str, said: str
) -> None:
    found = find_problems(with_methods(recipe, **{method: chain}))
    texts = [f"{p.what} {p.fix}" for p in found if p.key == f"backend.methods.{method}"]
    assert any(said in text for text in texts), found


def test_rules_run_on_the_backend_of_their_modules(recipe: Recipe) -> None:
    rule = QuantRule(scheme="8da8w", kind=ModuleKind.linear)
    stated = with_methods(
        with_quant(recipe, rules=[rule], group_size=None), vision_encoder="coreml"
    )
    (what,) = [p.what for p in find_problems(stated) if p.key == "quant.rules[0]"]
    assert "coreml cannot run 8da8w" in what
    assert "of 'tower." in what


def test_what_needs_text_everywhere_is_refused(recipe: Recipe) -> None:
    rule = QuantRule(scheme="8a8w", kind=ModuleKind.linear)
    stated = with_quant(recipe, rules=[rule], group_size=None)
    stated = replace(stated, train=replace(stated.train, enabled=True))
    found = {p.key: p.what for p in find_problems(stated) if "no text runs through" in p.what}
    assert "8a8w needs calibrated activations" in found["quant.rules[0]"]
    assert "the model is not trained" in found["train.enabled"]
