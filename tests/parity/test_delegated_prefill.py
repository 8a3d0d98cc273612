"""Prompts attend by XNNPACK, single tokens by the fused operator; both compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from executorch.backends.xnnpack.partition.graphs import sdpa
from family_models import MEMBERS, settings
from parity_tools import lowering_of, program_at, recipe_for, relative_error, sample_ids

from llm_export import api
from llm_export.backends import attention_scores, xnnpack_prefill
from llm_export.config.schema import Recipe
from llm_export.models.components.attention_cores import planners
from llm_export.models.components.attention_cores.planners import additive
from runtime_py.program import Program

TINY = ["model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack"]
SHAPES = ["runtime.context_length=64", "runtime.prefill_length=32"]
FUSED = "backend.options.delegated_prefill=false"


def made(recipe: Recipe, out: Path) -> tuple[Program, dict[str, Any]]:
    lowered, facts = lowering_of(recipe, out)
    return program_at(lowered.program_file, recipe), facts


def both_ways(words: list[str], tmp_path: Path) -> tuple[Program, Program]:
    programs = []
    for name, way in (("two", []), ("fused", [FUSED])):
        recipe = api.compose_recipe(None, [*words, *SHAPES, *way]).recipe
        program, facts = made(recipe, tmp_path / name)
        assert facts["branches"] == (0 if way else 1)
        programs.append(program)
    return programs[0], programs[1]


def with_two_ways(out: Path) -> Program:
    program, facts = made(api.compose_recipe(None, [*TINY, *SHAPES]).recipe, out)
    assert facts["branches"] == 1
    return program


def fed(program: Program, cuts: list[int], ids: list[int] | None = None) -> list[torch.Tensor]:
    """The last logits of each step; steps end at ``cuts``."""
    program.reset()
    ids = ids or sample_ids(cuts[-1])
    spans = zip([0, *cuts], cuts, strict=False)
    return [program.step(ids[a:b])[0, -1].clone() for a, b in spans]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Program]:
    return both_ways(TINY, tmp_path_factory.mktemp("tiny"))


@pytest.mark.slow
def test_a_prompt_in_any_cuts(tiny: tuple[Program, Program]) -> None:
    """Chunks, single tokens before, between and after them, and the very end of the context."""
    two, fused = tiny
    for cuts in ([2, 3, 5, 37, 64], [1, 2, 34], [32, 33, 64], [7, 8, 9, 10]):
        for mine, other in zip(fed(two, cuts), fed(fused, cuts), strict=True):
            assert relative_error(mine, other) < 1e-5, cuts


@pytest.mark.slow
def test_single_tokens_are_the_same_to_a_bit(tiny: tuple[Program, Program]) -> None:
    two, fused = tiny
    cuts = list(range(1, 12))
    for mine, other in zip(fed(two, cuts), fed(fused, cuts), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.slow
def test_a_chunk_with_many_scores_goes_by_the_operator(
    tiny: tuple[Program, Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four heads: a step of 4 tokens that ends at 8 has 128 scores, one of 9
    that ends at 12 432."""
    monkeypatch.setattr(attention_scores, "_MOST", 4 * 300)
    # No pattern describes the second way: none of those that take seconds to build is built.
    monkeypatch.setattr(sdpa, "get_graphs", None)
    two, fused = with_two_ways(tmp_path), tiny[1]
    # Single tokens first, so that both have the same caches.
    cuts = [1, 2, 3, 4, 8, 12, 16]
    same = [torch.equal(a, b) for a, b in zip(fed(two, cuts), fed(fused, cuts), strict=True)]
    assert same == [True] * 4 + [False] * 3
    long = [1, 2, 12]
    assert torch.equal(fed(two, long)[-1], fed(fused, long)[-1])


@pytest.mark.release
def test_a_cache_in_bfloat16(tmp_path: Path) -> None:
    two, fused = both_ways([*TINY, "quant.kv_cache=bfloat16"], tmp_path)
    for mine, other in zip(fed(two, [20, 21, 50]), fed(fused, [20, 21, 50]), strict=True):
        assert relative_error(mine, other) < 2e-2


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["runtime.attention=plain"], marks=pytest.mark.release),
        pytest.param(["runtime=static"], marks=pytest.mark.release),
        pytest.param(["runtime.attention=custom_op"], marks=pytest.mark.release),
        pytest.param(["runtime.prefill_length=1"], marks=pytest.mark.release),
    ],
    ids=["plain", "static", "by position", "one token a step"],
)
def test_what_has_no_second_way(words: list[str], tmp_path: Path) -> None:
    recipe = api.compose_recipe(None, [*TINY, *SHAPES, *words]).recipe
    _, facts = made(recipe, tmp_path)
    assert facts["branches"] == 0


@pytest.mark.parametrize(
    "in_turn",
    [
        # As in test_a_mask_with_biases, whose layers have a window too.
        pytest.param(False, marks=pytest.mark.release),
        pytest.param(True, marks=pytest.mark.slow),
    ],
    ids=["heads together", "heads in turn"],
)
def test_layers_with_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_turn: bool
) -> None:
    """A window of 8 tokens of 64: in any cuts as transformers computes, also where a step is longer
    than the window, or begins within it, or reads more keys than there is room for in the mask's
    copy (20) or in that of the keys (40). The branch of each kind of layer is taken.
    """
    if in_turn:
        monkeypatch.setattr(attention_scores, "_TOGETHER", 0)
        monkeypatch.setattr(xnnpack_prefill, "_MASK", 4 * 32 * 2 * 20)
        monkeypatch.setattr(attention_scores, "_COPY", 4 * 2 * 32 * 40)
    config = settings("gemma3_text", next(iter(MEMBERS["gemma3_text"])))
    config = {**config, "num_hidden_layers": 2, "sliding_window": 8}
    config["layer_types"] = ["sliding_attention", "full_attention"]
    reference = hf_models.build("gemma3_text", **config)
    folder = hf_models.save(reference, tmp_path / "m")
    program, facts = made(recipe_for(folder, "backend=xnnpack", *SHAPES), tmp_path / "out")
    assert facts["branches"] == 2
    ids = sample_ids(64)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    for cuts in ([30, 62], [1, 2, 5, 7, 12, 13, 45, 64], [32, 64], [9, 11]):
        for row, end in zip(fed(program, cuts, ids), cuts, strict=True):
            assert relative_error(row, expected[end - 1]) < 1e-4, (cuts, end)


@pytest.mark.release
@pytest.mark.parametrize(
    "family",
    ["qwen3", "llama", "qwen2", "olmo2", "granite"],
)
def test_families_against_transformers(family: str, tmp_path: Path) -> None:
    reference = hf_models.build(family, **settings(family, next(iter(MEMBERS[family]))))
    folder = hf_models.save(reference, tmp_path / "m")
    program, facts = made(recipe_for(folder, "backend=xnnpack", *SHAPES), tmp_path / "out")
    assert facts["branches"] > 0
    ids = sample_ids(60)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    rows = fed(program, [30, 31, 60], ids)
    for row, position in zip(rows, [29, 30, 59], strict=True):
        assert relative_error(row, expected[position]) < 1e-4


@pytest.mark.slow
def test_a_mask_with_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plugin's attention may have: the last key is favoured, and none before it is lost."""

    def biased(hidden: torch.Tensor) -> torch.Tensor:
        return additive(hidden) + torch.arange(hidden.shape[-1]) * 0.05

    monkeypatch.setattr(planners, "additive", biased)
    window = ["model.family=mistral", "+model.config.sliding_window=8",
              "~model.config.attention_bias", "~model.config.mlp_bias"]  # fmt: skip
    two, fused = both_ways([*TINY, *window], tmp_path)
    for mine, other in zip(fed(two, [5, 20, 21, 50]), fed(fused, [5, 20, 21, 50]), strict=True):
        assert relative_error(mine, other) < 1e-5
