"""The table of tried pairs is of this code, and the checks hold over all combinations."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import backend_matrix as matrix
from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import CacheDtype, ModuleKind, QuantRule
from llm_export.config.schema import AttentionKind, Recipe
from llm_export.quant.schemes import SCHEMES, nearest_pairs, refusal
from llm_export.resolve.recipe import resolve

FACTS = json.loads(matrix.FACTS.read_text(encoding="utf-8"))


def test_the_page_has_the_table() -> None:
    """Else: python benchmarks/backend_matrix.py --render"""
    assert matrix.table(FACTS) in matrix.PAGE.read_text(encoding="utf-8")


def test_the_table_is_of_the_installed_executorch() -> None:
    assert FACTS["executorch"] == matrix.version("executorch")


def test_the_table_has_every_pair_that_is_taken() -> None:
    """Of all backends that need no vendor's kit, device or other system."""
    tried = {name.split(" ")[0] for name in FACTS["rows"]}
    assert tried >= {"portable", "xnnpack", "openvino", "coreml", "vulkan", "webgpu", "mlx",
                     "tosa", "ethos_u", "vgf", "coreai"}  # fmt: skip
    taken = {f"{b} {q}" for b, q in matrix.pairs() if b in tried}
    assert set(FACTS["rows"]) == taken


@pytest.mark.parametrize("name", FACTS["rows"])
def test_every_tried_pair_is_right(name: str) -> None:
    row = FACTS["rows"][name]
    assert row["lowered"], row["why"]
    rounded = row["ran"] or name.endswith(("fp16", "bf16", "8a8w"))
    assert row["error"] < (2e-3 if rounded else 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["coreml 4w", "mlx 4w", "openvino 4w", "portable none", "vulkan 8da4w", "xnnpack 8da4w"],
)
def test_a_row_measured_anew(name: str) -> None:
    backend, quant = name.split(" ")
    state = BACKENDS.get(backend).availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    found, row = matrix.measure(backend, quant), FACTS["rows"][name]
    assert found["lowered"], found
    assert {k: found[k] for k in ("ran", "delegates", "share")} == {
        k: row[k] for k in ("ran", "delegates", "share")
    }
    assert found["bytes"] == pytest.approx(row["bytes"], rel=0.02)
    assert found["loss"] == pytest.approx(row["loss"], rel=0.2, abs=1e-4)


MODELS: tuple[dict[str, Any], ...] = ({}, {"sliding_window": 16}, {"attention_bias": True})


def recipes(backend: str) -> Iterator[Recipe]:
    """Quantization x family x shapes x attention x cache."""
    for quant in (*matrix.QUANTS, "8da4w_asym"):
        words = ["model=tiny", f"backend={backend}", f"quant={quant}"]
        made = api.compose_recipe(None, words).recipe
        for keys, dynamic, attention, cache in itertools.product(
            MODELS, (None, True, False), AttentionKind, CacheDtype
        ):
            if dynamic and attention is AttentionKind.static_io:
                continue  # no such group
            yield replace(
                made,
                model=replace(made.model, config={**made.model.config, **keys}),
                runtime=replace(made.runtime, dynamic_shapes=dynamic, attention=attention),
                quant=replace(made.quant, kv_cache=cache),
            )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_checks_hold_over_the_whole_matrix(backend: str) -> None:
    """Each combination is refused with a fix, or within all that the backend declares."""
    capabilities, taken = BACKENDS.get(backend).capabilities, 0
    for recipe in recipes(backend):
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
        words = nearest_pairs(backend, ModuleKind.linear, rule)
        assert any(text in words for text in ("backend=", "the nearest that", "group_size=")), words
        if "backend=" in words:
            other = words.split("backend=")[1].split(" or ")[0]
            assert refusal(other, ModuleKind.linear, rule) is None
        if "the nearest" in words:
            nearest = words.split(" ")[1].rstrip(",")
            sizes = (32,) if "with group_size=32" in words else (None, 32)
            near = [replace(rule, scheme=nearest, group_size=size) for size in sizes]
            assert None in [refusal(backend, ModuleKind.linear, one) for one in near]
