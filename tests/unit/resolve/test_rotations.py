"""Which rotations an option that leaves them open gets."""

from __future__ import annotations

import pytest

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import RotateConfig
from llm_export.config.schema import AdapterMode
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
