"""The shapes that checks and sizes use are those of the model that is quantized."""

from __future__ import annotations

from dataclasses import replace

import hf_families
import pytest
import torch
from family_models import MEMBERS, settings
from transformers import AutoConfig

from llm_export import api
from llm_export.config.schema import ModelConfig, Recipe
from llm_export.models.build import build_on_meta
from llm_export.models.families import FAMILIES
from llm_export.models.families.inert_keys import INERT, is_inert
from llm_export.predict.cost import predict
from llm_export.predict.model_shapes import shapes_of, shapes_of_model
from llm_export.predict.shapes import shapes_of_decoder
from llm_export.predict.size import program_bytes, resolve_rules, with_instructions
from llm_export.quant.rules import resolve_rules as rules_of_model
from llm_export.resolve.recipe import resolve
from llm_export.stages.quantization.constant_bytes import predict_bytes
from llm_export.transforms import fuse_projections


@pytest.mark.parametrize("family", sorted(MEMBERS))
def test_a_family_has_the_matrices_that_its_config_says(family: str) -> None:
    for variant in MEMBERS[family]:
        raw = AutoConfig.for_model(family, **settings(family, variant)).to_dict()
        absent = {k: v for k, v in raw.items() if v is None and k not in INERT}
        facts = absent | {k: v for k, v in raw.items() if not is_inert(k, v)}
        config = FAMILIES.get(family).read(facts)
        for fused in (False, True):
            model = build_on_meta(config, 16, "plain", False)
            if fused:
                fuse_projections.apply(model)
            built, said = shapes_of_model(model), shapes_of_decoder(config, 16, fused)
            assert sorted(said.matrices, key=str) == sorted(built.matrices, key=str), variant
            assert (said.other, said.parameters) == (built.other, built.parameters), variant


def recipe_of(family: str, *words: str) -> Recipe:
    base = api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe
    config = hf_families.CONFIGS[family]().to_dict()
    return replace(base, model=ModelConfig("tiny", "hf", config["model_type"], config))


@pytest.mark.parametrize("family", ["gpt_neox", "bloom", "gpt2", "mixtral", "gemma2"])
def test_the_generic_tier_is_sized_from_its_model(family: str) -> None:
    resolved = resolve(recipe_of(family, "quant=8da4w"))
    assert predict(resolved) is None  # the cost of its stages is not measured
    model = resolved.definition.outline(resolved.recipe)  # type: ignore[misc]
    assert model is not None
    assert {p.device for p in model.parameters()} == {torch.device("meta")}
    shapes = shapes_of(resolved)
    assert shapes is not None
    choices = rules_of_model(model, resolved.recipe.quant.rules, "xnnpack")
    assert resolve_rules(shapes, resolved) == choices
    constants = predict_bytes(model, tuple(choices))
    assert program_bytes(resolved) == with_instructions(constants)
