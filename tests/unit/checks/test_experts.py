"""runtime.experts: what is refused, and what auto becomes."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import ExpertsKind
from llm_export.resolve.recipe import resolve

MIXTURE = ("model=mixtral_8x7b", "checkpoint.hf_id=null", "checkpoint.random_seed=0")


def recipe(*overrides: str) -> object:
    return api.compose_recipe(None, list(overrides)).recipe


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("backend=xnnpack", "quant=8da4w"), ExpertsKind.active),
        (("backend=portable", "quant=none"), ExpertsKind.active),
        (("backend=xnnpack", "quant=8a8w"), ExpertsKind.all),
        (("backend=vulkan", "quant=none"), ExpertsKind.all),
        (("backend=xnnpack", "quant=none", "runtime.experts=all"), ExpertsKind.all),
    ],
    ids=["xnnpack", "portable", "static quantization", "fixed rows", "asked for"],
)
def test_auto_takes_what_the_program_can_have(
    overrides: tuple[str, ...], expected: ExpertsKind
) -> None:
    assert resolve(recipe(*MIXTURE, *overrides)).experts is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((*MIXTURE, "backend=vulkan", "quant=none"), "does not depend on the data"),
        ((*MIXTURE, "backend=xnnpack", "quant=8a8w"), "static quantization"),
        (("model=tiny", "backend=xnnpack", "quant=none"), "has no mixture of experts"),
    ],
    ids=["backend", "static quantization", "no mixture"],
)
def test_what_cannot_be_had_is_refused(overrides: tuple[str, ...], words: str) -> None:
    found = find_problems(recipe(*overrides, "runtime.experts=active"))  # type: ignore[arg-type]
    (problem,) = [p for p in found if p.key == "runtime.experts"]
    assert words in problem.what
    assert "runtime.experts=auto" in problem.fix
