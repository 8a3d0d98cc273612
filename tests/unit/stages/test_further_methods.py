"""Methods beside those that step through a text, in the stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from llm_export.config.composed import Composed
from llm_export.errors import PostConditionError
from llm_export.models.programs.method import Method
from llm_export.resolve.recipe import ResolvedRecipe, resolve
from llm_export.stages.export import repetition
from llm_export.stages.load import could_see
from llm_export.stages.verification.edge_methods import require_same_methods


class Doubling(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.fixture
def resolved(composed: Callable[..., Composed]) -> ResolvedRecipe:
    return resolve(composed("model=tiny_see", "backend=xnnpack", "quant=8da4w").recipe)


def edge_of(factor: float) -> Any:
    """An edge program whose method multiplies by ``factor``."""
    exported = SimpleNamespace(module=lambda check_guards: Doubling(factor))
    return SimpleNamespace(exported_program=lambda name: exported)


def model_of(factor: float) -> Any:
    method = Method("vision_encoder", Doubling(factor), (torch.zeros(1, 8),), (None,))
    metadata = SimpleNamespace(vocab_size=320)
    return SimpleNamespace(
        metadata=metadata, further_methods=lambda tokens, dynamic: [method]
    )  # fmt: skip


def test_a_lowered_method_is_compared_with_its_module(resolved: ResolvedRecipe) -> None:
    assert require_same_methods(edge_of(2.0), model_of(2.0), resolved) == {"vision_encoder": 0.0}
    with pytest.raises(PostConditionError, match="lowering has changed what vision_encoder"):
        require_same_methods(edge_of(2.5), model_of(2.0), resolved)


def test_the_whole_graph_is_lowered_where_the_program_cannot_run(resolved: ResolvedRecipe) -> None:
    backend = replace(resolved.recipe.backend, methods={"vision_encoder": "coreml"})
    elsewhere = resolve(replace(resolved.stated, backend=backend))
    model: Any = SimpleNamespace()
    plan, why = repetition(model, elsewhere)
    if not elsewhere.obstacle_to_running():
        pytest.skip("Core ML runs on this machine")
    assert plan is None
    assert why == "the program cannot run here, so that its whole graph is compared"


@pytest.mark.parametrize(("kind", "said"), [("smolvlm", True), ("mllama", False)])
def test_a_text_model_of_one_that_sees_says_so(kind: str, said: bool) -> None:
    whole = SimpleNamespace(config=lambda: {"model_type": kind})
    text: Any = SimpleNamespace(whole=whole)
    adapted: Any = SimpleNamespace(base=text)
    alone: Any = SimpleNamespace()
    expected = ("model.task=see exports it with its vision encoder",) if said else ()
    assert could_see(text) == could_see(adapted) == expected
    assert could_see(alone) == ()
