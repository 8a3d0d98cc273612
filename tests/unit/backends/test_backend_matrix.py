"""The checks hold over all combinations of a backend with the rest of a recipe."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest

from benchmarks import backend_matrix as matrix
from llm_export.backends import BACKENDS, known_issues, packages
from llm_export.checks.fixes import other_backends
from llm_export.checks.rules import find_problems
from llm_export.compat import versions
from llm_export.config.quant_schema import CacheDtype, ModuleKind, QuantRule
from llm_export.config.schema import AttentionKind, Recipe
from llm_export.quant.nearest_rule import fixed_rule
from llm_export.quant.schemes import SCHEMES, refusal
from llm_export.resolve.recipe import resolve


@pytest.fixture(scope="module", autouse=True)
def versions_are_read_once() -> Iterator[None]:
    """Of the installed packages: thousands of recipes are checked on one machine."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (packages, known_issues):
            patch.setattr(module, "version", functools.cache(version))
        patch.setattr(versions, "installed", functools.cache(versions.installed))
        yield


MODELS: tuple[dict[str, Any], ...] = ({}, {"sliding_window": 16}, {"attention_bias": True})


def recipes(backend: str) -> Iterator[Recipe]:
    """Quantization x family x shapes x attention x cache."""
    for quant in (*matrix.QUANTS, "8da4w_asym"):
        made = matrix.recipe_of(backend, quant)
        for keys, dynamic, attention, cache in itertools.product(
            MODELS, (None, True, False), AttentionKind, CacheDtype
        ):
            if dynamic and attention is AttentionKind.static_io:
                continue  # no such group
            if "attention_bias" in keys and cache is not CacheDtype.float:
                continue  # biases are before what is cached
            yield replace(
                made,
                model=replace(made.model, config={**made.model.config, **keys}),
                runtime=replace(made.runtime, dynamic_shapes=dynamic, attention=attention),
                quant=replace(made.quant, kv_cache=cache),
            )


# Seven divides no axis of the product, so that every value of each is among the seventh.
@pytest.mark.parametrize("each", [7, pytest.param(1, marks=pytest.mark.release)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_checks_hold_over_the_whole_matrix(backend: str, each: int) -> None:
    """Each combination is refused with a fix, or within all that the backend declares."""
    capabilities, taken = BACKENDS.get(backend).capabilities, 0
    for recipe in itertools.islice(recipes(backend), 0, None, each):
        problems = [p for p in find_problems(recipe) if not p.environment]
        assert all(p.fix and p.key for p in problems)
        if problems:
            continue
        taken += 1
        dynamic = resolve(recipe).methods.dynamic
        assert capabilities.dynamic_shapes or not dynamic
        assert resolve(recipe).attention in capabilities.attention_kinds(dynamic=dynamic)
        for rule in recipe.quant.rules:
            kinds = [rule.kind] if rule.kind else list(ModuleKind)
            assert not any(refusal(backend, kind, rule) for kind in kinds)
    assert taken


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_refusal_names_a_pair_that_works(backend: str) -> None:
    for scheme, group in itertools.product(SCHEMES, (None, 32)):
        rule = QuantRule(scheme=scheme, kind=ModuleKind.linear, group_size=group)
        if refusal(backend, ModuleKind.linear, rule) is None:
            continue
        made = fixed_rule(backend, ModuleKind.linear, rule)
        assert made is not None
        assert refusal(backend, ModuleKind.linear, made) is None
        for word in filter(None, other_backends([rule], but=backend).split(", or ")):
            assert refusal(word.removeprefix("backend="), ModuleKind.linear, rule) is None


@pytest.mark.parametrize(("asked", "offered"), [(48, 32), (100, 96), (33, 32), (16, 32)])
def test_another_group_size_is_as_fine_as_the_one_that_was_asked_for(
    asked: int, offered: int
) -> None:
    rule = QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=asked)
    made = fixed_rule("xnnpack", ModuleKind.linear, rule)
    assert made == replace(rule, group_size=offered)
