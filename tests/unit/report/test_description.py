"""Descriptions say what the recipe's values are, not what its option once was."""

from __future__ import annotations

from llm_export import api
from llm_export.config.schema import Recipe
from llm_export.report.description import describe_model, describe_quant
from llm_export.resolve.recipe import resolve


def recipe(*words: str) -> Recipe:
    return resolve(
        api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *words]).recipe
    ).recipe


def test_quantization_is_described_from_its_values() -> None:
    assert "SmoothQuant with alpha 0.5" in describe_quant(recipe("quant=8da8w").quant)
    without = describe_quant(recipe("quant=8da8w", "quant.smooth=null").quant)
    assert "Smooth" not in without
    assert "8 outlier channels" in without
    assert "outlier" not in describe_quant(recipe("quant=8da8w", "quant.outliers=0").quant)
    few = "4 outlier channels in float32 where they are 4 times the others"
    assert few in describe_quant(recipe("quant=8da4w_asym").quant)
    grouped = describe_quant(recipe("quant=8da4w", "quant.group_size=64").quant)
    assert "linear: int8 activations per token, 4-bit weights (groups of 64)" in grouped
    rounded = recipe("quant=8da4w", "quant.rounding.method=hqq").quant
    assert "HQQ rounding" in describe_quant(rounded)
    assert "int8 KV cache" in describe_quant(recipe("quant=8da4w", "quant.kv_cache=int8").quant)
    assert describe_quant(recipe("quant=none").quant) == "float32, not quantized"


def test_a_model_is_described_by_its_weights() -> None:
    assert describe_model(recipe()) == "tiny (llama), random weights (seed 0)"
    own = describe_model(recipe("checkpoint.path=/home/me/mine.gguf"))
    assert own == "tiny (llama), weights from mine.gguf"
    hub = describe_model(recipe("checkpoint.hf_id=ORG/NAME"))
    assert hub == "tiny (llama), weights from hf:ORG/NAME"
