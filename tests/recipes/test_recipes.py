"""Every shipped recipe composes, is sound, and exports with a tiny member of its model's family."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.models.families import FAMILIES
from llm_export.predict.size import program_bytes
from llm_export.resolve.recipe import resolve
from runtime_py.bundle import Bundle

RECIPES = Composer().options("")
SMALL = [
    "checkpoint.hf_id=null", "checkpoint.package=null", "checkpoint.random_seed=0",
    "benchmark=off", "runtime.context_length=64", "verify.positions=20", "verify.window=32",
    "verify.prefill=12", "quant.max_mean_kl=1",
]  # fmt: skip
Combination = tuple[str, ...]
# What other backends make of their hardest scheme is in tests/integration/test_backends.py.
# The shared bundles of the quick tests are of llama, xnnpack and 8da8w.
SLOW = {("qwen3", "xnnpack", "8da4w_asym")}
ALSO = {("llama", "xnnpack", "8da8w")}
MEASURED = json.loads(
    resources.files("llm_export.data").joinpath("recipe_evidence.json").read_text("utf-8")
)
TUNED = {"minilm_l6_xnnpack_8da8w"}
"""Recipes with quantization of their own, by measurement: docs/embed.md has the figures."""


@cache
def body_of(name: str) -> dict[str, Any]:
    # Not composed: all recipes at once would take longer than the tests.
    return read(text_of(name))


def read(text: str) -> Any:
    """By the parser in C: each test process reads them all while it collects."""
    return yaml.load(text, yaml.CSafeLoader)


def text_of(name: str) -> str:
    return resources.files("llm_export.recipes").joinpath(f"{name}.yaml").read_text("utf-8")


def choices_of(name: str) -> dict[str, str]:
    chosen = [entry for entry in body_of(name)["defaults"] if isinstance(entry, dict)]
    return {key.removeprefix("override "): value for e in chosen for key, value in e.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_sound(name: str, composed: Callable[..., Composed]) -> None:
    made = composed(recipe=name)
    problems = find_problems(made.recipe)
    assert [str(p) for p in problems if not p.environment] == []
    assert choices_of(name).items() <= made.choices.items()


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_its_command_and_chooses_what_it_is_named_for(name: str) -> None:
    text, choices, body = text_of(name), choices_of(name), body_of(name)
    assert text.startswith(f"# llm-export run {name}\n")
    assert "_".join(choices[g] for g in ("model", "backend", "quant")) == name
    own = {"quant"} if name in TUNED else set()
    assert set(body) == {"defaults", "description"} | own, "choices only"
    assert body["description"]


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_its_measured_size_is_not_stale(name: str, composed: Callable[..., Composed]) -> None:
    """Within a tenth of what shapes and schemes say; python benchmarks/recipe_cards.py --measure
    NAME measures anew."""
    expected = program_bytes(resolve(composed(recipe=name).recipe))
    assert MEASURED[name]["bytes"] == pytest.approx(expected, rel=0.1)


def combination(name: str) -> Combination:
    """All that is left of a recipe when its model is exchanged for one of two layers."""
    choices = choices_of(name)
    assert set(choices) == {"model", "backend", "quant"}, "else there are more combinations"
    option = resources.files("llm_export.conf").joinpath("model", f"{choices['model']}.yaml")
    family = read(option.read_text("utf-8"))["model"]["family"]
    return (family, choices["backend"], choices["quant"])


FIRST = {combination(name): name for name in reversed(RECIPES)}
"""Combination -> its first recipe."""
PROVEN = {min(c for c in FIRST if c[1] == backend) for _, backend, _ in FIRST} | ALSO | SLOW
"""Those whose programs are compared with the eager model: one of each backend, and two of ours."""


def small(name: str, out: Path) -> Composed:
    """The recipe with its model's own config shrunk as its family says, and random weights."""
    combined = combination(name)
    words = [*SMALL, f"out={out}"] + ([] if combined in PROVEN else ["verify=off"])
    composed = api.compose_recipe(name, words)
    model = composed.recipe.model
    config = {**model.config, **FAMILIES.get(model.family).tiny}
    scaling: dict[str, Any] = dict(config.get("rope_scaling") or {})
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    channels = int(width * config.get("partial_rotary_factor", 1)) // 2
    for key, value in scaling.items():
        if isinstance(value, list):  # a factor a channel
            scaling[key] = value[:channels]
    config = {**config, "rope_scaling": scaling or None}
    return replace(composed, recipe=replace(composed.recipe, model=replace(model, config=config)))


def test_the_proven_are_among_the_recipes() -> None:
    assert set(FIRST) > PROVEN > ALSO | SLOW


def level(combined: Combination) -> pytest.MarkDecorator:
    return pytest.mark.slow if combined in SLOW else pytest.mark.release


@pytest.mark.parametrize(
    "combined", [pytest.param(c, marks=level(c), id="-".join(c)) for c in sorted(FIRST)]
)
def test_it_exports_with_a_tiny_member_of_its_family(combined: Combination, tmp_path: Path) -> None:
    backend = BACKENDS.get(combined[1])
    state = backend.availability()
    if not state.ok:
        pytest.skip(f"{state.reason}: {state.fix}")
    result = api.run_recipe(small(FIRST[combined], tmp_path / "b"), quiet=True)
    manifest = Bundle.open(result.bundle, verify_hashes=True).manifest
    facts = {s.name: s.facts for s in result.record.stages}
    assert all(c["scheme"] != "none" for c in facts["quantize"]["quantization"])
    assert manifest["requires"]["backends"] == list(facts["lower"]["delegation"]["backends"])
    assert facts["lower"]["delegation"]["subgraphs"] > 0
    if combined in PROVEN:
        proof = manifest["proof"]
        assert proof["verified"] == backend.runnable_here().ok
        assert proof["comparisons"]["lowering"]["mean_kl"] < 1e-3
        assert proof["comparisons"]["quality"]["mean_kl"] < 0.2
