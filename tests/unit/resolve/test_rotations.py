"""Which rotations an option that leaves them open gets."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import RotateConfig, TiedKind
from llm_export.config.schema import AdapterMode
from llm_export.errors import RecipeError
from llm_export.resolve.recipe import resolve
from llm_export.resolve.rotations import BLOCK


@pytest.mark.parametrize(
    ("words", "wanted", "note"),
    [
        ((), RotateConfig(True, True, BLOCK), None),
        (("model.config.intermediate_size=96",), RotateConfig(True, True, None),
         "quant.rotate.r4: null, feed-forward networks of 96 channels have no blocks of 64"),
        (("model=gemma3_1b",), RotateConfig(False, True, BLOCK),
         "quant.rotate.r1: false, the residual stream cannot be rotated: layer 0 has norms after"),
        (("model.definition=hf",), None,
         "quant.rotate: off, models of the generic (transformers) tier"),
        (("quant.rotate.r2=false", "quant.rotate.r4=48"), RotateConfig(True, False, 48), None),
        (("quant.rotate.r1=false",), RotateConfig(False, True), None),
        (("quant.rotate={}",), RotateConfig(), None),
        (("quant.rotate=null",), None, None),
    ],
)  # fmt: skip
def test_an_open_rotation_is_what_the_model_allows(
    words: tuple[str, ...], wanted: RotateConfig | None, note: str | None
) -> None:
    overrides = ["model=tiny", "backend=xnnpack", "quant=8da8w_rotated", *words]
    done = resolve(api.compose_recipe(None, overrides).recipe)
    assert done.recipe.quant.rotate == wanted
    said = [n for n in done.notes if n.startswith("quant.rotate")]
    assert len(said) == (note is not None), said
    assert note is None or said[0].startswith(note)


def test_nothing_is_left_where_the_model_excludes_all() -> None:
    words = ("model=gemma3_1b", "model.config.intermediate_size=6900", "quant.rotate.r2=false")
    overrides = [*words, "backend=xnnpack", "quant=8da8w_rotated"]
    done = resolve(api.compose_recipe(None, overrides).recipe)
    assert done.recipe.quant.rotate is None
    said = [note.partition(",")[0] for note in done.notes if note.startswith("quant.rotate")]
    assert said == ["quant.rotate.r1: false", "quant.rotate.r4: null"]


def test_the_stream_that_images_are_written_into_is_not_rotated() -> None:
    words = ("model=smolvlm2_256m", "backend=xnnpack", "quant=8da8w", "quant.rotate={}")
    (problem,) = find_problems(api.compose_recipe(None, list(words)).recipe)
    assert problem.key == "quant.rotate.r1"
    assert "what encodes images writes into it" in problem.what


def test_a_separate_adapter_excludes_them() -> None:
    recipe = api.compose_recipe(
        None, ["model=tiny", "backend=xnnpack", "quant=8da8w_rotated"]
    ).recipe
    recipe.checkpoint.adapter_mode = AdapterMode.separate
    done = resolve(recipe)
    assert done.recipe.quant.rotate is None
    assert any("separate adapter reads and writes" in note for note in done.notes)


STATIC = ["model=tiny", "model.config.tie_word_embeddings=true", "quant=8a8w"]


def test_a_product_that_would_be_rounded_is_left_out() -> None:
    """Where the quantizer takes every operator, a rotation at run time has rounded inputs."""
    words = [*STATIC, "backend=cortex_m", "runtime=npu", "quant.rotate={r1: null}"]
    done = resolve(api.compose_recipe(None, words).recipe)
    assert done.recipe.quant.rotate == RotateConfig(True, True, None)
    assert done.recipe.quant.tied is TiedKind.untied
    said = [note.partition(",")[0] for note in done.notes if note.startswith("quant.")]
    assert said == ["quant.rotate.r4: null", "quant.tied: untied"]
    here = resolve(api.compose_recipe(None, [*words[:3], "backend=xnnpack", words[-1]]).recipe)
    assert (here.recipe.quant.rotate, here.recipe.quant.tied) == (
        RotateConfig(True, True, BLOCK), TiedKind.auto,
    )  # fmt: skip


def test_a_stated_one_is_refused() -> None:
    words = [*STATIC, "backend=cortex_m", "runtime=npu", "quant.rotate={r4: 64}"]
    (problem,) = find_problems(api.compose_recipe(None, words).recipe)
    assert problem.key == "quant.rotate.r4"
    assert problem.what.startswith("the backend's quantizer rounds the input of the rotation")
    assert problem.fix == "quant.rotate.r4=null, or quant.rotate=null"


def test_a_rotation_of_nothing_says_how_to_state_none() -> None:
    words = ["model=tiny", "backend=xnnpack", "quant.rotate={r1: false, r2: false}"]
    with pytest.raises(RecipeError) as raised:
        api.compose_recipe(None, words)
    assert str(raised.value).splitlines() == [
        "nothing to rotate: r1 or r2 must be true, or r4 set",
        "  where: quant.rotate.r1=false",
        "  fix:   quant.rotate=null, which rotates nothing",
    ]
    with pytest.raises(RecipeError, match=r"llm-export explain quant\.rotate\.r4"):
        api.compose_recipe(None, [*words[:2], "quant.rotate.r4=1"])
