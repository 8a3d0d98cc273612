"""Metadata of GGUF files: what they do not hold, published models, and keys that are not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import hf_models
import numpy as np
import pytest
from decoder_options import OPTIONS
from family_models import LLAMA3, MEMBERS, settings
from gguf_models import described, write_gguf
from gguf_parity import build, filled_in, first_case, ours, theirs
from parity_tools import BAR, recipe_for, relative_error
from transformers import AutoConfig

from llm_export.config.composed import Composed
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, LlmExportError
from llm_export.models.definitions.composable import _FREE, differences
from llm_export.models.detect import detect_model
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import (
    Family,
    fill_unspecified,
    native_facts,
    to_option,
)
from llm_export.models.families.gguf_falcon_h1 import FOLDED
from llm_export.models.families.gguf_rope import llama3_from_table
from llm_export.models.load_model import load_model

# -- facts that a file does not hold ---------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "old", "key"),
    [("starcoder2", False, "sliding_window"), ("deepseek_v2", True, "topk_method"),
     ("deepseek_v3", True, "n_group")],
)  # fmt: skip
def test_an_unspecified_value_must_be_stated(
    family: str, old: bool, key: str, tmp_path: Path
) -> None:
    reference = first_case(family)
    file = write_gguf(tmp_path / "m.gguf", reference, old=old)
    recipe = recipe_for(file)
    with pytest.raises(CheckpointError) as caught:
        ours(recipe)
    assert f"neither the checkpoint nor the model option says '{key}'" in str(caught.value)
    assert f"model.config.{key}=VALUE" in str(caught.value)


def test_mistral_must_state_its_window(tmp_path: Path) -> None:
    reference = build("mistral")
    file = write_gguf(tmp_path / "m.gguf", reference)
    recipe = filled_in(file, reference, "mistral")
    del recipe.model.config["sliding_window"]
    with pytest.raises(CheckpointError) as caught:
        ours(recipe)
    assert "do not hold the attention window, and the model option does not say it" in str(
        caught.value
    )
    assert "model.config.sliding_window=VALUE: null, or 4096" in str(caught.value)


def test_a_file_is_not_of_another_family(tmp_path: Path) -> None:
    reference = first_case("mixtral")
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference), reference)
    recipe.model.family = "mistral"
    for key in ("num_local_experts", "num_experts_per_tok"):
        del recipe.model.config[key]
    with pytest.raises(CheckpointError) as caught:
        ours(recipe)
    assert "another architecture: 'llama', not 'mistral'" in str(caught.value)
    assert "its family is mixtral" in str(caught.value)


def test_llama3_scaling_is_read_back_from_its_table(tmp_path: Path) -> None:
    facts = {**LLAMA3, "rope_theta": 5e5, "factor": 32.0, "original_max_position_embeddings": 8192}
    reference = build("llama", {"head_dim": 64, "rope_parameters": facts})
    recipe = recipe_for(write_gguf(tmp_path / "m.gguf", reference))
    assert recipe.model.config["rope_scaling"] == {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    assert relative_error(ours(recipe), theirs(reference)) < BAR
    assert llama3_from_table([1.0] * 32, 5e5, 64) is None
    assert llama3_from_table([1.0, 3.0, 2.0, 8.0], 1e4, 8) is None


def test_a_stated_scaling_must_fit_the_table(tmp_path: Path) -> None:
    reference = build("llama", {"rope_parameters": LLAMA3})
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference), reference)
    recipe.model.config["rope_parameters"] = {**LLAMA3, "factor": 4.0}
    with pytest.raises(CheckpointError) as caught:
        ours(recipe)
    assert "llama3 RoPE scaling as a table" in str(caught.value)
    assert "which does not fit" in str(caught.value)


@pytest.mark.parametrize(("layers", "scalar"), [(46, 36), (42, 32)])
def test_gemma2_27b_scales_by_its_width(layers: int, scalar: int) -> None:
    raw = {
        "general.architecture": "gemma2", "gemma2.embedding_length": 144,
        "gemma2.attention.head_count": 4, "gemma2.attention.head_count_kv": 2,
        "gemma2.attention.layer_norm_rms_epsilon": 9.999999974752427e-07,
        "gemma2.attention.key_length": 32, "gemma2.attention.value_length": 32,
        "gemma2.block_count": layers, "gemma2.feed_forward_length": 96,
        "gemma2.context_length": 8192, "tensor:token_embd.weight": (320, 144),
    }  # fmt: skip
    facts = FAMILIES.get("gemma2").config_from["gguf"](raw)
    assert facts["query_pre_attn_scalar"] == scalar
    assert facts["rms_norm_eps"] == 1e-6
    assert (facts["sliding_window"], facts["attn_logit_softcapping"]) == (4096, 50.0)


# -- published models ------------------------------------------------------------------------

GEMMA2_27B = {
    "vocab_size": 256000, "hidden_size": 4608, "intermediate_size": 36864,
    "num_hidden_layers": 46, "num_attention_heads": 32, "num_key_value_heads": 16,
    "head_dim": 128, "query_pre_attn_scalar": 144, "sliding_window": 4096,
    "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
}  # fmt: skip
GEMMA3_4B = {
    "vocab_size": 262208, "hidden_size": 2560, "intermediate_size": 10240,
    "num_hidden_layers": 34, "num_attention_heads": 8, "num_key_value_heads": 4,
    "head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 1024,
    "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window_pattern": 6,
}  # fmt: skip
GPT_OSS_20B = {
    "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880,
    "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8,
    "head_dim": 64, "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128,
    "hidden_act": "silu", "attention_bias": True, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "rope_theta": 150000.0, "tie_word_embeddings": False,
    "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                     "original_max_position_embeddings": 4096, "truncate": False},
}  # fmt: skip
DEEPSEEK_V2_LITE = {
    "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944,
    "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
    "num_key_value_heads": 16, "n_routed_experts": 64, "n_shared_experts": 2,
    "num_experts_per_tok": 6, "first_k_dense_replace": 1, "q_lora_rank": None,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 163840, "tie_word_embeddings": False, "attention_bias": False,
    "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1,
                     "mscale": 0.707, "mscale_all_dim": 0.707,
                     "original_max_position_embeddings": 4096},
}  # fmt: skip
GRANITE_2B = {
    "vocab_size": 49155, "hidden_size": 2048, "intermediate_size": 8192,
    "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
    "hidden_act": "silu", "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
    "rope_theta": 5e6, "attention_multiplier": 0.015625, "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22, "logits_scaling": 8.0, "tie_word_embeddings": True,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "gemma2": GEMMA2_27B, "gemma3_text": GEMMA3_4B, "gpt_oss": GPT_OSS_20B,
    "deepseek_v2": DEEPSEEK_V2_LITE, "granite": GRANITE_2B,
}  # fmt: skip


def check_metadata(family: str, config: dict[str, Any]) -> None:
    """A file of the model amounts to what its config.json does."""
    described_as = described(AutoConfig.for_model(family, **config))
    facts = fill_unspecified(
        native_facts(FAMILIES.get(family), "gguf", described_as, "x"), config, "x"
    )
    merged = {key: value for key, value in config.items() if key != "rope_parameters"}
    from_hf = FAMILIES.get(family).from_hf
    differing = differences("", asdict(from_hf(config)), asdict(from_hf({**merged, **facts})))
    # The converter writes an arbitrary context for models without RoPE.
    assert [each for each in differing if each[0] not in _FREE] == []


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_metadata_of_published_models(family: str) -> None:
    check_metadata(family, PUBLISHED[family])


# The multipliers are in the weights, and no BitNet with another activation has this architecture.
HELD: dict[str, dict[str, Any]] = {"falcon_h1": FOLDED, "bitnet": {"hidden_act": "silu"}}


@pytest.mark.parametrize("option", OPTIONS)
def test_metadata_of_shipped_options(option: str, composed: Callable[..., Composed]) -> None:
    model = composed(f"model={option}").recipe.model
    family = FAMILIES.get(model.family)
    if model.definition == "composable" and "gguf" in family.keys:
        check_metadata(model.family, {**model.config, **HELD.get(model.family, {})})


def test_multipliers_that_a_file_holds_in_its_weights_are_not_applied_again(tmp_path: Path) -> None:
    reference = first_case("falcon_h1")
    file = write_gguf(tmp_path / "m.gguf", reference)
    recipe = filled_in(file, reference)
    recipe.model.config["embedding_multiplier"] = 5.6
    with pytest.raises(CheckpointError, match="embedding_scale"):
        load_model(recipe, attention="plain", context_length=64, all_logits=True)


# -- files that are not understood -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.add_float32("llama.attention.temperature_scale", 0.1),
         "metadata that is not known: llama.attention.temperature_scale"),
        (lambda w: w.add_clamp_kqv(8.0), "not known: llama.attention.clamp_kqv"),
        (lambda w: w.add_sliding_window(8), "not known: llama.attention.sliding_window"),
        (lambda w: w.add_causal_attention(False), "llama.attention.causal=False is not"),
        (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE),
         "the RoPE scaling 'longrope' of GGUF files is not implemented"),
        (lambda w: w.add_expert_used_count(2), "llama.expert_used_count=2 is not implemented"),
    ],
)  # fmt: skip
def test_metadata_is_never_ignored(
    change: Callable[[gguf.GGUFWriter], None], words: str, tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "m.gguf", hf_models.llama(), change=change)
    with pytest.raises(CheckpointError) as caught:
        detect_model(CheckpointConfig(path=str(file)), 64)
    assert words in str(caught.value)


def test_layers_of_different_sizes_and_unknown_architectures(tmp_path: Path) -> None:
    from llm_export.models.families.gguf_metadata import Metadata, families_of

    metadata = Metadata({"general.architecture": "x", "x.attention.head_count_kv": [2, 4]})
    with pytest.raises(CheckpointError, match="is not one whole number"):
        metadata.count("attention.head_count_kv")
    with pytest.raises(CheckpointError, match="architecture 'mambo' is not supported") as unknown:
        families_of({"general.architecture": "mambo"}, "here")
    assert "supported: apertus, arcee, " in str(unknown.value)
    with pytest.raises(CheckpointError, match=r"'bitnet-b1\.58' is not supported: it is bitnet"):
        families_of({"general.architecture": "bitnet-b1.58"}, "here")
    hybrid = {"general.architecture": "granitehybrid"}
    assert families_of(hybrid, "here")[0] == "bamba"  # RoPE unless it is denied, and no factors
    denied = hybrid | {"granitehybrid.rope.scaling.finetuned": False}
    scaled = hybrid | {"granitehybrid.embedding_scale": 12.0}
    assert families_of(denied, "here") == families_of(scaled, "here") == ("granitemoehybrid",)
    # Mistral Small 3.1, whose queries have one scale.
    assert families_of({"general.architecture": "mistral3"}, "here") == ("mistral",)
    with pytest.raises(CheckpointError, match=r"lacks the key 'x\.block_count'"):
        metadata.count("block_count")


GEMMA4 = "shared layers"
# family, its member, changes to the metadata (None: the key is left out), words of the refusal
REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("qwen3_5_text", "two value heads a key head", {"rope.dimension_sections": [2, 1, 1, 4]},
     r"rope.dimension_sections=\[2, 1, 1, 4\] is not implemented"),
    ("qwen3_5_text", "two value heads a key head", {"attention.recurrent_layers": [True]},
     "is not true or false for each of 4 layers"),
    ("qwen3_5_text", "two value heads a key head", {"nextn_predict_layers": 4},
     "nextn_predict_layers=4 do not fit"),
    ("gemma4_text", GEMMA4, {"expert_count": 8}, "Gemma 4 with a mixture of experts are not read"),
    ("gemma4_text", GEMMA4, {"feed_forward_length": [96, 96, 96, 192, 192, 96]},
     "feed_forward_length=.* is not implemented"),
    ("gemma4_text", GEMMA4, {"attention.head_count_kv": [2, 2, 1, 2, 2, 2]},
     "head_count_kv=.* is not implemented"),
    ("gemma4_text", GEMMA4, {"values:rope_freqs.weight": [1.0] * 15 + [8.0]},
     "factors of RoPE are not implemented"),
    ("gemma4_text", GEMMA4, {"rope.dimension_count_swa": 8}, "dimension_count_swa=8 is not"),
    ("gemma4_text", GEMMA4, {"tensor:blk.0.attn_v.weight": None}, "lack the projection of values"),
    ("gemma4_text", GEMMA4, {"attention.value_length": 8}, "attention.value_length=8 is not"),
    ("granitemoehybrid", "experts, rope, groups", {"expert_shared_feed_forward_length": None},
     "with experts, and without one that runs for every token, are not read"),
    ("granitemoehybrid", "mixers, no rope", {"ssm.time_step_rank": 7},
     "an inner size of 128 does not divide into 7 heads"),
    ("granitemoehybrid", "mixers, no rope", {"attention.clamp_kqv": 8.0}, "clamp_kqv"),
    ("nemotron_h", "experts, biases", {"moe_latent_size": 16}, "moe_latent_size=16"),
    ("nemotron_h", "experts, biases", {"expert_used_count": [2, 0, 0, 3]},
     "is not one whole number"),
    ("mamba2", "groups", {"feed_forward_length": 8}, "feed_forward_length=8 is not implemented"),
    ("lfm2_moe", "experts", {"expert_gating_func": 1}, "expert_gating_func=1 is not implemented"),
    ("granite_swa", "local and global", {"expert_count": 4}, "expert_count=4 is not implemented"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "member", "changes", "words"), REFUSED)
def test_what_a_family_does_not_compute_is_refused(
    family: str, member: str, changes: dict[str, Any], words: str
) -> None:
    raw = described(AutoConfig.for_model(family, **settings(family, member)))
    prefix = raw["general.architecture"]
    for key, value in changes.items():
        raw[key if ":" in key else f"{prefix}.{key}"] = value
    raw = {key: value for key, value in raw.items() if value is not None}
    with pytest.raises(CheckpointError, match=words):
        FAMILIES.get(family).read(native_facts(FAMILIES.get(family), "gguf", raw, "here"))


HOSTILE: tuple[Any, ...] = (-1, 0, 2**40, "x", [], [True], 1e30)


def refusal(family: Family, raw: dict[str, Any]) -> str:
    try:
        family.read(to_option(native_facts(family, "gguf", raw, "here")))
    except LlmExportError as error:
        return str(error)
    return ""


def test_any_value_of_any_key_is_read_or_refused_in_words() -> None:
    found: dict[tuple[str, Any], str] = {}
    for name in ("qwen3_5_text", "gemma4_text", "lfm2_moe", "granitemoehybrid", "nemotron_h",
                 "bamba", "mamba2", "granite_swa", "apertus"):  # fmt: skip
        member = list(MEMBERS[name])[-1]
        raw = described(AutoConfig.for_model(name, **settings(name, member)))
        for key in (k for k in raw if not k.startswith(("general", "tensor:", "values:"))):
            for i, value in enumerate(HOSTILE):
                found[key, i] = refusal(FAMILIES.get(name), raw | {key: value})
    assert len(found) > 900
    assert {key: said for key, said in found.items() if "a value does not fit" in said} == {}


def test_layers_that_predict_further_tokens_are_left_out(tmp_path: Path) -> None:
    def add(w: gguf.GGUFWriter) -> None:
        w.add_block_count(5)
        w.add_nextn_predict_layers(1)
        w.add_array("qwen35.attention.recurrent_layers", [True] * 3 + [False] * 2)
        w.add_tensor("blk.4.nextn.eh_proj.weight", np.zeros((8, 8), np.float32))

    reference = first_case("qwen3_5_text")
    file = write_gguf(tmp_path / "m.gguf", reference, change=add)
    recipe = filled_in(file, reference)
    assert recipe.model.config["num_hidden_layers"] == 4
    assert relative_error(ours(recipe), theirs(reference)) < BAR
    stray = described(reference.config) | {"tensor:blk.4.attn_norm.weight": (64,)}
    with pytest.raises(CheckpointError, match="block_count=4 and nextn_predict_layers=0 do not"):
        native_facts(FAMILIES.get("qwen3_5_text"), "gguf", stray, "here")


def test_numbers_in_the_metadata_fit_the_layers(tmp_path: Path) -> None:
    reference = first_case("apertus")

    def one_for_all(w: gguf.GGUFWriter) -> None:
        w.add_float32("xielu.beta", 0.5)

    def too_few(w: gguf.GGUFWriter) -> None:
        w.add_xielu_beta([0.5])

    file = write_gguf(tmp_path / "a.gguf", reference, change=one_for_all)
    assert relative_error(ours(filled_in(file, reference)), theirs(reference)) < BAR
    file = write_gguf(tmp_path / "b.gguf", reference, change=too_few)
    with pytest.raises(CheckpointError, match=r"xielu.beta=\[0.5\] is not a number for each of 2"):
        ours(filled_in(file, reference))
