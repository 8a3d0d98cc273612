"""The shipped models: as many parameters as the published weights, and sound facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from decoder_options import FILES, OPTIONS
from torch import nn

from llm_export.models.build import build_on_meta
from llm_export.models.components.rope import RotaryTables
from llm_export.models.components.rope_scaling import for_context
from llm_export.models.config import DecoderConfig
from llm_export.models.families import FAMILIES

# Parameters of the published weights, a tied matrix once.
PUBLISHED = {
    "arcee_4_5b": 4_619_184_640,
    "bitnet_2b": 2_412_820_480,
    # With the two constants of each layer's activation.
    "apertus_8b": 8_053_338_240,
    "bamba_9b": 9_780_235_392,
    "codellama_7b": 6_738_546_688,
    "command_r7b": 8_028_033_024,
    "deepseek_v2_lite": 15_706_484_224,
    # Without the layer that predicts further tokens; with the router's corrections.
    "deepseek_v3": 671_026_419_200,
    "dots_llm1": 142_774_381_696,
    "ernie4_5_0_3b": 360_748_032,
    "ernie4_5_21b_a3b": 21_825_437_888,
    "exaone4_1_2b": 1_279_391_488,
    "falcon_h1_0_5b": 521_411_104,
    "gemma2_2b": 2_614_341_888,
    "gemma3_1b": 999_885_952,
    "gemma3_270m": 268_098_176,
    # The text part, without the projections that its upper layers do not use. With these and the
    # parts for other inputs, E2B and E4B have 5,123,178,051 and 7,996,156,490.
    "gemma4_26b_a4b": 25_233_141_790,
    "gemma4_e2b": 4_628_569_379,
    "gemma4_e4b": 7_463_013_418,
    "gemma_2b": 2_506_172_416,
    # Without the layer that predicts further tokens.
    "glm4_5_air": 106_852_251_264,
    "glm4_7_flash": 29_943_393_920,
    "glm4_9b": 9_400_279_040,
    "gpt_oss_20b": 20_914_757_184,
    "granite3_1_1b_a400m": 1_334_628_352,
    "granite3_3_2b": 2_533_539_840,
    "lfm2_1_2b": 1_170_340_608,
    "lfm2_2_6b": 2_569_272_320,
    "lfm2_350m": 354_483_968,
    "lfm2_5_1_2b": 1_170_340_608,
    "lfm2_5_2_6b": 2_697_198_592,
    "lfm2_5_350m": 354_483_968,
    "lfm2_5_8b_a1b": 8_467_856_832,
    "lfm2_700m": 742_489_344,
    "lfm2_8b_a1b": 8_339_930_560,
    "lfm3_1_7b": 1_728_801_536,
    "hunyuan_0_5b": 539_010_048,
    "hunyuan_1_8b": 1_791_080_448,
    "hunyuan_4b": 4_221_757_440,
    "hunyuan_a13b": 80_393_183_232,
    "hunyuan_7b": 7_504_568_320,
    "granite4_1b": 1_631_750_144,
    "granite4_350m": 352_379_904,
    "granite4_micro": 3_402_836_480,
    "granite_swash_2b": 2_144_463_840,
    "granite4_h_1b": 1_461_538_368,
    "granite4_h_350m": 340_332_224,
    "granite4_h_micro": 3_191_396_096,
    "granite4_h_tiny": 6_939_037_248,
    "llama2_7b": 6_738_415_616,
    "llama3_1_8b": 8_030_261_248,
    "llama3_2_1b": 1_235_814_400,
    "llama3_2_3b": 3_212_749_824,
    "llama3_8b": 8_030_261_248,
    # Without the vision encoder.
    "ministral3_14b": 13_506_073_600,
    "ministral3_3b": 3_429_006_336,
    "ministral3_8b": 8_489_553_920,
    "mamba2_130m": 128_989_632,
    "mamba2_1_3b": 1_343_757_312,
    "mamba2_2_7b": 2_702_599_680,
    "mamba2_370m": 368_346_624,
    "mamba2_780m": 780_161_280,
    "mistral_7b_v0_1": 7_241_732_096,
    "mistral_7b_v0_3": 7_248_023_552,
    "mixtral_8x7b": 46_702_792_704,
    "nemotron3_nano_4b": 3_973_556_832,
    "nemotron_h_4b": 4_489_223_040,
    "nemotron_h_8b": 8_100_852_736,
    "olmo2_1b": 1_484_916_736,
    "olmo3_7b": 7_298_011_136,
    "olmoe_1b_7b": 6_919_161_856,
    "phi3_5_mini": 3_821_079_552,
    "phi3_mini_4k": 3_821_079_552,
    "phi4_mini": 3_836_021_760,
    "qwen1_5_moe_a2_7b": 14_315_784_192,
    "qwen2_5_0_5b": 494_032_768,
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen2_5_3b": 3_085_938_688,
    "qwen2_5_7b": 7_615_616_512,
    # Without the vision encoder and the layer that predicts further tokens.
    "qwen3_5_0_8b": 752_393_024,
    "qwen3_5_2b": 1_881_825_088,
    "qwen3_5_4b": 4_205_751_296,
    "qwen3_5_9b": 8_953_803_264,
    "qwen3_5_35b_a3b": 34_660_610_688,
    "qwen3_0_6b": 596_049_920,
    "qwen3_1_7b": 1_720_574_976,
    "qwen3_30b_a3b": 30_532_122_624,
    "qwen3_4b": 4_022_468_096,
    "qwen3_8b": 8_190_735_360,
    "seed_oss_36b": 36_151_104_512,
    "smollm2_135m": 134_515_008,
    "smollm2_1_7b": 1_711_376_384,
    "smollm2_360m": 361_821_120,
    "smollm3_3b": 3_075_098_624,
    "stablelm2_1_6b": 1_644_515_328,
    "starcoder2_3b": 3_030_371_328,
    "tiny_aya_3b": 3_349_227_520,
    "tinyllama_1_1b": 1_100_048_384,
}


def facts(option: str) -> DecoderConfig:
    model = yaml.safe_load(FILES[option].read_text())["model"]
    return FAMILIES.get(model["family"]).from_hf(model["config"])


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count(config: DecoderConfig) -> int:
    """Parameters; layers that are alike are built once, so that a giant takes no time either."""
    kinds = tuple(dict.fromkeys(config.layers))
    model = build_on_meta(replace(config, layers=kinds), 64, "plain", False)
    each = [size(layer) for layer in model.layers]
    repeated = sum(n * config.layers.count(kind) for n, kind in zip(each, kinds, strict=True))
    return size(model) - sum(each) + repeated


def test_each_published_model_is_here() -> None:
    assert set(OPTIONS) - set(PUBLISHED) == {"tiny"}


def test_each_family_has_a_model() -> None:
    assert {facts(option).family for option in OPTIONS} == set(FAMILIES)


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_has_the_parameters_of_the_published_weights(option: str) -> None:
    assert count(facts(option)) == PUBLISHED[option]


@pytest.mark.parametrize("option", ["gemma3_270m", "smollm3_3b"])
def test_counting_by_kinds_of_layers_is_exact(option: str) -> None:
    config = facts(option)
    assert len(set(config.layers)) == 2
    assert count(config) == size(build_on_meta(config, 64, "plain", False))


@pytest.mark.parametrize("option", OPTIONS)
def test_its_rope_tables_fill(option: str) -> None:
    """So there is a LongRoPE factor for every rotated channel, for short and long contexts."""
    config = facts(option)
    for rope in config.ropes:
        for context in (64, config.max_positions):
            tables = RotaryTables(for_context(rope, context), 64)
            tables.init_buffers()
            assert tables.cos.shape == tables.sin.shape == (64, rope.dim)
            assert bool(tables.cos.isfinite().all())


@pytest.mark.parametrize("option", PUBLISHED)
def test_it_names_itself_its_weights_and_their_licence(option: str) -> None:
    text = FILES[option].read_text()
    body = yaml.safe_load(text)
    assert body["model"]["name"] == option
    assert body["checkpoint"].get("hf_id") or body["checkpoint"].get("package")
    assert "(" in text.splitlines()[1], "the second line says the licence in parentheses"
    assert len(body["model"]["description"]) <= 90
