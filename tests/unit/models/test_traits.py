"""Traits of single families: what they change, what they exclude, and configs that are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from family_models import MEMBERS, settings
from parity_tools import BAR, relative_error, sample_ids, stepwise

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import KVCacheKind
from llm_export.errors import CheckpointError
from llm_export.models.build import build_on_meta
from llm_export.models.components.query_scale import QueryScaleTable
from llm_export.models.config import QueryScale
from llm_export.models.decoder import Decoder
from llm_export.models.families import FAMILIES


def config_of(family: str, **changes: Any) -> dict[str, Any]:
    own = settings(family, next(iter(MEMBERS[family])))
    made = {"hidden_act": "silu", **own, **changes}
    return {k: v for k, v in made.items() if v is not None}


def random_decoder(family: str, context: int) -> Decoder:
    config = FAMILIES.get(family).read(config_of(family))
    model = build_on_meta(config, context, "plain", True).to_empty(device="cpu")
    model.init_buffers()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
    return model.eval()


# -- queries that grow with their position ---------------------------------------------------


def test_the_factors_grow_by_steps() -> None:
    table = QueryScaleTable(QueryScale(0.5, 4), 12)
    table.init_buffers()
    expected = [1.0] * 4 + [1 + 0.5 * math.log(2)] * 4 + [1 + 0.5 * math.log(3)] * 4
    assert torch.allclose(table.factors, torch.tensor(expected))
    assert table(torch.tensor([3, 4])).shape == (1, 2, 1, 1)


def test_a_context_without_steps_has_no_table() -> None:
    assert random_decoder("ministral3", 16).query_scale is None
    assert random_decoder("ministral3", 17).query_scale is not None


def test_an_attention_sink_cache_has_them_too() -> None:
    model, ids = random_decoder("ministral3", 32), sample_ids(32)
    expected = stepwise(model, ids, 7)
    model.set_attention("attention_sink", sink_tokens=3)
    assert relative_error(stepwise(model, ids, 7), expected) < BAR / 10
    model.query_scale = None
    assert relative_error(stepwise(model, ids, 7), expected) > BAR


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"llama_4_scaling_beta": None}, "llama_4_scaling_beta=None is not a number from 0"),
        ({"llama_4_scaling_beta": -1.0}, "llama_4_scaling_beta=-1.0 is not a number from 0"),
        ({"rope_type": "linear", "original_max_position_embeddings": None},
         "llama_4_scaling_beta needs original_max_position_embeddings"),
    ],
)  # fmt: skip
def test_a_scale_that_transformers_cannot_compute(change: dict[str, Any], said: str) -> None:
    rope = {**config_of("ministral3")["rope_parameters"], **change}
    if rope["rope_type"] == "linear":
        rope = {k: rope[k] for k in ("rope_type", "rope_theta", "factor", "llama_4_scaling_beta")}
    with pytest.raises(CheckpointError) as caught:
        FAMILIES.get("ministral3").read(config_of("ministral3", rope_parameters=rope))
    assert said in str(caught.value)


def test_a_config_without_rope_has_that_of_the_published_models() -> None:
    config = config_of("ministral3")
    del config["rope_parameters"]
    made = FAMILIES.get("ministral3").read(config)
    assert made.query_scale == QueryScale(0.1, 16384)
    assert made.ropes[0].args["factor"] == 16.0


# -- norms after RoPE, and a stretched base --------------------------------------------------


def test_keys_normed_after_rope_exclude_attention_sinks() -> None:
    recipe = api.compose_recipe(None, ["model=hunyuan_0_5b", "backend=portable"]).recipe
    runtime = replace(recipe.runtime, kv_cache=KVCacheKind.attention_sink, context_length=64)
    found = [str(p) for p in find_problems(replace(recipe, runtime=runtime))]
    assert any("norms its keys after RoPE" in p and "runtime.kv_cache=static" in p for p in found)


def test_alpha_stretches_the_base_and_leaves_the_context_alone() -> None:
    model = api.compose_recipe(None, ["model=hunyuan_0_5b"]).recipe.model
    config = FAMILIES.get("hunyuan_v1_dense").read(model.config)
    assert config.ropes[0].scaling == "none"
    assert config.ropes[0].theta == pytest.approx(11158839.9251, rel=1e-9)
    plain = {**model.config, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    assert FAMILIES.get("hunyuan_v1_dense").read(plain).ropes[0].scaling == "dynamic"


@pytest.mark.parametrize(
    ("key", "value"),
    [("use_cla", True), ("use_qk_norm", False), ("norm_type", "layer"), ("mlp_bias", True),
     ("attention_head_dim", 24)],
)  # fmt: skip
def test_hunyuan_settings_that_transformers_ignores(key: str, value: Any) -> None:
    assert FAMILIES.get("hunyuan_v1_dense").read(config_of("hunyuan_v1_dense", use_cla=False))
    with pytest.raises(CheckpointError, match=f"does not implement {key}="):
        FAMILIES.get("hunyuan_v1_dense").read(config_of("hunyuan_v1_dense", **{key: value}))
