"""Which models are exported with a few of their layers."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.models.load_model import load_model
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import repetition


@pytest.mark.parametrize(("attention", "why"), [("plain", ""), ("static_io", "its caches are inp")])
def test_a_program_that_takes_its_caches_has_all_layers(attention: str, why: str) -> None:
    """A layer's caches are inputs of the program then, which cloning does not add."""
    words = ["model=tiny", "model.config.num_hidden_layers=8", "runtime.context_length=64",
             "backend=xnnpack"]  # fmt: skip
    recipe = api.compose_recipe(None, words).recipe
    loaded = load_model(recipe, attention=attention, context_length=64, all_logits=True)
    model = loaded.model
    plan, reason = repetition(model, resolve(recipe))
    assert (plan is None, reason[:18]) == (bool(why), why)
