"""The cache in bfloat16: how near it is to one in float32, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hf_models
import pytest
import torch
from family_models import settings
from parity_tools import FORMS, recipe_for, relative_error, sample_ids, stepwise

from llm_export import api
from llm_export.backends.base import Capabilities
from llm_export.checks.rules import find_problems
from llm_export.models.load_model import load_model
from llm_export.resolve.recipe import resolve
from llm_export.transforms import fuse_projections
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from llm_export.transforms.delegate_forms import forms_for

BFLOAT16 = "quant.kv_cache=bfloat16"


def problems(*words: str) -> list[str]:
    words = ("model=tiny", "backend=xnnpack", BFLOAT16, *words)
    return [str(p) for p in find_problems(api.compose_recipe(None, list(words)).recipe)]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(
    ("family", "variant"), [("llama", "grouped"), ("llama", "no grouping"), ("mistral", "window")]
)
def test_it_costs_three_digits(family: str, variant: str, grouped: bool, tmp_path: Path) -> None:
    folder = hf_models.save(hf_models.build(family, **settings(family, variant)), tmp_path / "m")
    ids = sample_ids(40)
    model = load_model(
        recipe_for(folder), attention="plain", context_length=64, all_logits=True
    ).model
    expected = stepwise(model, ids, 7)
    if grouped:
        run_transform(fuse_projections.TRANSFORM, model)
        for form in forms_for(model, FORMS, kind="custom_op_bfloat16", dtype=torch.float32):
            run_transform(form, model)
    run_transform(exchange("custom_op_bfloat16"), model)
    caches = [b for n, b in model.named_buffers() if n.endswith("_cache")]
    assert {b.dtype for b in caches} == {torch.bfloat16}
    assert 1e-5 < relative_error(stepwise(model, ids, 7), expected) < 0.02


def test_it_is_a_kind_of_attention() -> None:
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack", BFLOAT16]).recipe
    assert resolve(recipe).attention == "custom_op_bfloat16"
    assert problems() == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("backend=vulkan",), "vulkan has no cache in bfloat16"),
        (("runtime.attention=plain",), "'plain' attention has no cache in bfloat16"),
        (("runtime.kv_cache=attention_sink",), "an attention_sink cache is kept in float32 only"),
        (("quant=fp16",), "a model in fp16 keeps its cache in fp16"),
        (("model=gpt_oss_20b",), "the model gpt_oss_20b has no cache in bfloat16"),
    ],
)
def test_who_cannot_have_one_says_so(words: tuple[str, ...], what: str) -> None:
    assert any(what in p and "quant.kv_cache=float" in p for p in problems(*words))


def test_forms_are_for_what_they_fit(tmp_path: Path) -> None:
    def names(variant: str, kind: str, dtype: torch.dtype, family: str = "llama") -> list[str]:
        built = hf_models.build(family, **settings(family, variant))
        folder = hf_models.save(built, tmp_path / f"{family} {variant}")
        loaded = load_model(
            recipe_for(folder), attention="plain", context_length=64, all_logits=True
        )
        run_transform(fuse_projections.TRANSFORM, loaded.model)
        return [f.name for f in forms_for(loaded.model, FORMS, kind=kind, dtype=dtype)]

    both = ["product_norms", "grouped_projections"]
    assert names("grouped", "custom_op_by_head", torch.float32) == both
    assert names("grouped", "plain", torch.float16) == ["grouped_projections"]
    assert names("grouped", "attention_sink", torch.float32) == ["product_norms"]
    assert names("wide heads", "plain", torch.float32, "qwen3") == ["product_norms"]
    assert Capabilities(dynamic_shapes=True, attention=()).forms == ()
    assert replace(Capabilities(True, ()), forms=FORMS).forms == tuple(both)
    assert (
        "custom_op_by_head"
        in resolve(api.compose_recipe(None, ["model=tiny"]).recipe).model_attention
    )
