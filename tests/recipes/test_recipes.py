"""Every shipped recipe composes, is sound, and exports with model=tiny."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llm_export import api
from llm_export.config.checks import find_problems
from llm_export.config.compose import Composer
from runtime_py.bundle import Bundle

RECIPES = Composer().options("")


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_sound(name: str) -> None:
    assert find_problems(api.compose_recipe(name).recipe) == []


def combination(name: str) -> tuple[str, ...]:
    """The choices that remain when the model is exchanged for tiny."""
    choices = api.compose_recipe(name).choices
    return tuple(
        f"{group}={choices[group]}" for group in ("backend", "quant", "runtime")
        if choices[group] != "default"
    )  # fmt: skip


@pytest.mark.parametrize("choices", sorted({combination(name) for name in RECIPES}))
def test_it_exports_with_a_tiny_model(
    choices: tuple[str, ...], export: Callable[..., Path]
) -> None:
    manifest = Bundle.open(export(*choices), verify_hashes=True).manifest
    assert manifest["proof"]["verified"]
    assert manifest["proof"]["comparisons"]["quality"]["mean_kl"] < 0.2


@pytest.mark.parametrize("name", RECIPES)
def test_it_says_its_command(name: str) -> None:
    from importlib import resources

    text = resources.files("llm_export.recipes").joinpath(f"{name}.yaml").read_text()
    assert text.startswith(f"# llm-export run {name}\n")
