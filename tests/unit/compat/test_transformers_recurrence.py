"""The functions of transformers' models that are replaced are there, under their names."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch

from llm_export.compat.transformers_recurrence import (
    GATED_DELTA,
    KIMI_DELTA,
    MAMBA,
    MAMBA2,
    calls_any,
    replaced,
)

OWNERS = {
    MAMBA: ("mamba", {"hidden_states", "dt", "A", "B", "C", "D"}),
    MAMBA2: ("mamba2", {"hidden_states", "dt", "A", "B", "C", "initial_states", "dt_limit"}),
    GATED_DELTA: ("qwen3_5", {"query", "key", "value", "g", "beta", "initial_state"}),
    KIMI_DELTA: ("kimi_linear", {"query", "key", "value", "g", "beta", "initial_state"}),
}


@pytest.mark.parametrize("name", OWNERS)
def test_a_model_calls_the_replacement_by_its_name(name: str) -> None:
    model_type, arguments = OWNERS[name]
    file = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    own = getattr(file, name)
    assert arguments <= set(inspect.signature(own).parameters)

    def ours() -> None: ...

    class Mixer(torch.nn.Module):
        """A module of that file."""

    Mixer.__module__ = file.__name__
    assert calls_any(Mixer(), [name])
    assert not calls_any(torch.nn.Linear(1, 1), [name])
    with replaced(Mixer(), {name: ours}):
        assert getattr(file, name) is ours
    assert getattr(file, name) is own
