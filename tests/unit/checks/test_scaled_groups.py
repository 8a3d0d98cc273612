"""A pattern of scaling matches whole groups of linears, as a run requires."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.scaled_groups import group_problems
from llm_export.resolve.recipe import resolve

TIED = "model.config.tie_word_embeddings=true"
FUSE_NOT = "runtime.fuse_projections=false"
EVERY = "quant.smooth={pattern: '.*feed_forward.*'}"


def found(*words: str) -> list[tuple[str, str]]:
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack", "quant=8da8w", *words])
    return [(problem.key, problem.what) for problem in group_problems(resolve(recipe.recipe))]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ([FUSE_NOT, "quant.smooth={pattern: '.*qkv.k'}"], "quant.smooth.pattern"),
        ([FUSE_NOT, "quant.smooth=null", "quant.awq={pattern: '.*up'}"], "quant.awq.pattern"),
        ([TIED, "quant.smooth={pattern: head}"], "quant.smooth.pattern"),
        ([FUSE_NOT, EVERY], ""),
        (["quant.smooth={pattern: head}"], ""),
        (["quant.smooth={pattern: '.*qkv.fused'}"], ""),
    ],
)
def test_part_of_a_group_is_no_group(words: list[str], key: str) -> None:
    told = found(*words)
    assert [where for where, _ in told] == ([key] if key else [])
    assert all("matches no linear whose inputs can be scaled" in what for _, what in told)


def test_validate_tells_it() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant=8da8w", FUSE_NOT,
             "quant.smooth={pattern: '.*gate'}"]  # fmt: skip
    problems = api.validate(None, words).problems
    assert [problem.key for problem in problems] == ["quant.smooth.pattern"]
