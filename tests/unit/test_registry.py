"""Registries and near-miss names."""

from __future__ import annotations

import pytest

from llm_export.errors import RecipeError, did_you_mean
from llm_export.registry import Registry


def test_lookup_is_lazy_and_names_the_nearest() -> None:
    registry: Registry[object] = Registry("thing")
    registry.register("decode", "json:loads", origin="a")
    registry.register("broken", "no_such_module:x")
    assert registry.get("decode") is __import__("json").loads
    assert registry.origin("decode") == "a"
    with pytest.raises(RecipeError, match="there is no thing 'decod'") as caught:
        registry.get("decod")
    assert "did you mean 'decode'" in str(caught.value)


def test_a_collision_tells_both_origins() -> None:
    registry: Registry[object] = Registry("thing")
    registry.register("a", "json:loads", origin="package-one")
    with pytest.raises(RecipeError) as caught:
        registry.register("a", "json:dumps", origin="package-two")
    assert "package-one and package-two" in str(caught.value)


def test_no_near_name_lists_choices() -> None:
    assert did_you_mean("zzz", ["a", "b"]) == "choices: a, b"
