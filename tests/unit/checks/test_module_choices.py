"""``validate`` refuses what ``run`` would of the schemes chosen for the model's matrices."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export import api
from llm_export.checks.checkpoint_text import tokenizer_facts
from llm_export.checks.module_choices import choice_problems
from llm_export.checks.rules import find_problems
from llm_export.predict.shapes import ModelShapes
from llm_export.resolve.recipe import resolve

TIED = "model.config.tie_word_embeddings=true"
SHARE, QAT, AUTO = "quant.tied=share", "quant.qat.enabled=true", "quant=auto"
ROTATED = "quant.rotate={}"
LORA = "train=qat_lora"
HEAD_TOO = "train.kinds=[linear,head]"


def problems(*words: str) -> dict[str, str]:
    recipe = api.compose_recipe(None, ["model=tiny", "quant=8da4w", *words]).recipe
    return {p.key: p.what for p in find_problems(recipe) if not p.environment}


@pytest.mark.parametrize(
    ("words", "key", "what"),
    [
        ([SHARE], "quant.tied", "the model's embedding is not tied to its output matrix"),
        ([SHARE, TIED], "quant.tied", "8 bit with group_size None is not 4 bit with 32"),
        ([SHARE, TIED, "backend=vulkan"], "quant.tied", "stores matrices in a form of its own"),
        (["quant.rules=[{kind: linear, scheme: fp16}]", "quant.group_size=null"],
         "quant.rules[0]", "a model computes in one dtype"),
        ([QAT, "quant.qat.pattern=nothing"], "quant.qat", "no module that the rules quantize"),
        ([LORA, "train.lora.targets=nothing"], "train.lora.targets", "there is nothing to train"),
        ([LORA, TIED, HEAD_TOO], "train.kinds", "factors of one of them would part the two"),
        ([LORA, TIED, HEAD_TOO, ROTATED], "train.kinds", "factors of one of them would part the"),
        ([SHARE, ROTATED, "quant=8da8w", "model=tiny_aya_3b"], "quant.tied", "takes the mean"),
        (["quant.smooth={pattern: nothing}"], "quant.smooth.pattern", "matches no linear"),
        (["quant.awq={pattern: nothing}"], "quant.awq.pattern", "matches no linear"),
        ([AUTO, "quant.bits_per_weight=0.5"], "quant.bits_per_weight", "the smallest choice has"),
        ([AUTO, "quant.file_megabytes=0.1"], "quant.file_megabytes", "the smallest choice has"),
    ],
)  # fmt: skip
def test_a_recipe_that_ends_in_a_refusal(words: list[str], key: str, what: str) -> None:
    words = words if any(w.startswith("backend=") for w in words) else ["backend=xnnpack", *words]
    assert what in problems(*words)[key]


@pytest.mark.parametrize(
    "words",
    [
        [SHARE, TIED, "backend=openvino", "quant=8w"],
        [AUTO, "backend=xnnpack", "quant.bits_per_weight=5"],
        [LORA, TIED, "backend=xnnpack"],
        ["quant.smooth={pattern: .*down}", "backend=xnnpack"],
    ],
)  # fmt: skip
def test_what_runs_is_sound(words: list[str]) -> None:
    assert problems(*words) == {}


@pytest.mark.parametrize(
    ("words", "found"), [([], []), (["quant.smooth={}"], ["quant.smooth=null"])]
)
def test_scaling_of_a_model_without_linears(words: list[str], found: list[str]) -> None:
    empty = ModelShapes((), other=8, tables=0, vocab_size=8, tied=False)
    resolved = resolve(api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe)
    fixes = [p.fix for p in choice_problems(resolved, empty)]
    assert [fix.partition(":")[0] for fix in fixes] == found


def test_more_calibration_than_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Hello there")
    words = ["model=tiny", "backend=xnnpack", f"quant.calibration.text={text}", "verify=off"]
    recipe = resolve(api.compose_recipe(None, [*words, "quant=none"]).recipe).recipe
    assert tokenizer_facts(recipe, 320)[0] == [], "nothing is calibrated"
    recipe = resolve(api.compose_recipe(None, [*words, "quant=8da8w"]).recipe).recipe
    (found,) = tokenizer_facts(recipe, 320)[0]
    assert found.key == "quant.calibration.tokens"
    split = ["quant=8da4w", "quant.rounding.method=minmax", "quant.head_split=64"]
    recipe = resolve(api.compose_recipe(None, [*words, *split]).recipe).recipe
    assert tokenizer_facts(recipe, 320)[0] == [found]
    assert "calibration asks for 1024" in found.what


def test_the_least_budget_counts_offsets_that_a_gguf_file_keeps() -> None:
    """Kept offsets of wide rows take more columns than rounded ones."""

    def least(*words: str) -> str:
        recipe = api.compose_recipe("smollm2_135m_xnnpack_8da8w", [
            AUTO, "quant.bits_per_weight=0.5",
            "quant.auto.candidates=[{scheme: 8da4w, group_size: 32, zero_point: true}]", *words,
        ]).recipe  # fmt: skip
        (found,) = [p for p in find_problems(recipe) if p.key == "quant.bits_per_weight"]
        return found.fix.partition(" ")[0].partition("=")[2]

    kept, rounded = float(least()), float(least("quant.rounding.keep_grids=false"))
    assert kept > rounded
