"""GGUF files of every family, written as llama.cpp writes them, against transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
import hf_models
import pytest
import torch
from family_models import LATENT, LLAMA3, LOCAL_GLOBAL, LONG, MEMBERS, YARN, long_factors, settings
from gguf_models import ARCHITECTURES, described, write_gguf
from parity_tools import BAR, recipe_for, relative_error, sample_ids
from transformers import AutoConfig, AutoModelForCausalLM

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.errors import CheckpointError
from llm_export.models.definitions.composable import _differences
from llm_export.models.detect import detect_model
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import UNSPECIFIED, fill_unspecified, native_facts
from llm_export.models.families.gguf_mixers import FOLDED
from llm_export.models.families.gguf_rope import llama3_from_table
from llm_export.models.load_model import load_model
from llm_export.stages.verification.logits import eager_logits

OLMO3_ROPE = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {**YARN, "attention_factor": 1.2},
}
GEMMA = {"sliding_window": 8, "head_dim": 32}
# family, changes to its first member that make it one that a GGUF file can hold
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 24}),
    ("llama", {"rope_parameters": LLAMA3}),
    ("llama", {"rope_parameters": YARN, "tie_word_embeddings": True}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    ("mistral", {}),
    ("mixtral", {"sliding_window": None}),
    ("qwen2", {}),
    ("qwen3", {"tie_word_embeddings": True}),
    ("qwen3_moe", {}),
    ("smollm3", {"num_hidden_layers": 5}),
    ("phi3", {}),
    ("phi3", {"tie_word_embeddings": True, "original_max_position_embeddings": 16,
              "rope_parameters": {**LONG, **long_factors(4), "partial_rotary_factor": 0.5}}),
    ("gemma", {}),
    ("gemma2", {**GEMMA, "query_pre_attn_scalar": 32}),
    ("gemma3_text", {**GEMMA, "num_hidden_layers": 7, "sliding_window_pattern": 6,
                     "query_pre_attn_scalar": 32, "rope_parameters": LOCAL_GLOBAL}),
    ("olmo2", {}),
    ("olmoe", {}),
    ("granite", {}),
    ("granitemoehybrid", {"intermediate_size": 80}),
    ("exaone4", {}),
    ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 5,
                 "rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    ("olmo3", {"rope_parameters": OLMO3_ROPE}),
    ("cohere2", {}),
    ("stablelm", {}),
    ("stablelm", {"use_parallel_residual": True, "use_qkv_bias": True}),
    ("starcoder2", {}),
    ("deepseek_v2", {**LATENT, "n_group": 1, "topk_group": 1}),
    ("deepseek_v2", {**LATENT, "q_lora_rank": 24, "topk_method": "group_limited_greedy",
                     "n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5}),
    ("deepseek_v3", {"rope_parameters": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707}}),
    ("gpt_oss", {}),
    ("lfm2", {}),
    ("ministral3", {}),
    ("hunyuan_v1_dense", {}),
    ("hunyuan_v1_dense", {"rope_parameters": None, "attention_bias": True, "head_dim": 32}),
    ("seed_oss", {}),
    ("seed_oss", {"attention_bias": False, "tie_word_embeddings": True}),
    ("arcee", {}),
    ("arcee", {"attention_bias": True, "mlp_bias": True, "rope_parameters": YARN}),
    ("ernie4_5", {}),
    ("glm4", {}),
    ("glm4", {"attention_bias": False, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}}),
    ("ernie4_5_moe", {"num_hidden_layers": 3}),
    ("glm4_moe", {"n_group": 1, "topk_group": 1}),
    ("qwen2_moe", {"decoder_sparse_step": 1, "norm_topk_prob": False, "use_sliding_window": False,
                   "qkv_bias": True}),
    ("granitemoe", {}),
    ("hunyuan_v1_moe", {"moe_topk": 2}),
    ("dots1", {"n_group": 1, "topk_group": 1, "sliding_window": None}),
    ("falcon_h1", {}),
    ("falcon_h1", {"mamba_rms_norm": True, "mamba_norm_before_gate": False, "mamba_n_groups": 2}),
]  # fmt: skip

# Those whose tensors transformers can read from GGUF.
READ_BY_TRANSFORMERS = ("llama", "qwen2", "qwen3", "qwen3_moe", "phi3", "gemma2", "gemma3_text",
                        "starcoder2", "stablelm")  # fmt: skip


def build(family: str, changes: dict[str, Any] | None = None) -> Any:
    config = settings(family, next(iter(MEMBERS[family])))
    return hf_models.build(family, **{**config, **(changes or {})})


def first_case(family: str) -> Any:
    return build(family, next(changes for name, changes in CASES if name == family))


ABSENT = object()
# What a stranger's file is read as, with the facts of the family that it really is of.
OF_FAMILY: dict[str, Callable[[Any], dict[str, Any]]] = {
    "mistral": lambda c: {"sliding_window": c.sliding_window, "attention_bias": ABSENT,
                          "mlp_bias": ABSENT},
    "granitemoehybrid": lambda c: {
        "num_local_experts": 0, "shared_intermediate_size": c.shared_intermediate_size,
        "intermediate_size": c.shared_intermediate_size, "position_embedding_type": "rope",
        "layer_types": ["attention"] * c.num_hidden_layers, "mlp_bias": ABSENT},
}  # fmt: skip


def filled_in(file: Path, reference: Any, family: str | None = None) -> Recipe:
    """The recipe of a file, with the facts that it cannot hold stated."""
    recipe = recipe_for(file, "runtime.context_length=64", "runtime.prefill_length=32")
    facts = recipe.model.config
    for key in [k for k, v in facts.items() if v == UNSPECIFIED]:
        source = "rope_parameters" if key == "rope_scaling" else key
        facts[source] = getattr(reference.config, source)
        if source != key:
            del facts[key]
    if family is not None and family != recipe.model.family:
        recipe.model.family = family
        facts.update(OF_FAMILY[family](reference.config))
        for key in [k for k, v in facts.items() if v is ABSENT]:
            del facts[key]
    return recipe


def ours(recipe: Recipe) -> torch.Tensor:
    loaded = load_model(recipe, attention="cacheless", context_length=64, all_logits=True)
    return eager_logits(loaded.model, sample_ids(40))


def theirs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([sample_ids(40)])).logits[0]
    return logits


def test_every_family_has_its_architecture() -> None:
    readable = {name for name in FAMILIES if "gguf" in FAMILIES.get(name).keys}
    assert set(ARCHITECTURES) == readable
    assert {family for family, _ in CASES} == readable


@pytest.mark.parametrize(("family", "changes"), CASES)
def test_a_file_gives_the_logits_of_its_model(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    reference = build(family, changes)
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference), reference, family)
    assert recipe.model.family == family
    assert relative_error(ours(recipe), theirs(reference)) < BAR


@pytest.mark.parametrize("family", READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_from_a_quantized_file(family: str, tmp_path: Path) -> None:
    """Its reader and ours must undo the same layouts and blocks; sizes are told to its own."""
    reference = first_case(family)
    file = write_gguf(tmp_path / "m.gguf", reference, "Q8_0")
    read = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=file.name, config=reference.config, dtype=torch.float32,
        attn_implementation="eager",
    )  # fmt: skip
    assert relative_error(ours(filled_in(file, reference)), theirs(read)) < BAR
    assert relative_error(theirs(read), theirs(reference)) > 1e-4  # it is quantized


@pytest.mark.parametrize("family", ["mixtral", "deepseek_v2", "deepseek_v3"])
def test_files_of_earlier_converters(family: str, tmp_path: Path) -> None:
    reference = first_case(family)
    recipe = filled_in(write_gguf(tmp_path / "m.gguf", reference, old=True), reference)
    assert relative_error(ours(recipe), theirs(reference)) < BAR


def test_mxfp4_experts(tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.MXFP4
    reference = first_case("gpt_oss")
    with torch.no_grad():
        for name, value in reference.named_parameters():
            if value.dim() == 3 and value.shape[1] % 32 == 0:
                rows = value.swapaxes(1, 2).contiguous().numpy()
                rounded = gguf.quants.dequantize(gguf.quants.quantize(rows, kind), kind)
                value.copy_(torch.from_numpy(rounded).swapaxes(1, 2))
                assert "experts" in name
    file = write_gguf(tmp_path / "m.gguf", reference, "MXFP4")
    assert kind in {t.tensor_type for t in gguf.GGUFReader(file).tensors}
    assert relative_error(ours(filled_in(file, reference)), theirs(reference)) < BAR


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
    differing = _differences("", asdict(from_hf(config)), asdict(from_hf({**merged, **facts})))
    assert list(differing) == []


@pytest.mark.parametrize("family", sorted(PUBLISHED))
def test_metadata_of_published_models(family: str) -> None:
    check_metadata(family, PUBLISHED[family])


@pytest.mark.parametrize("option", [n for n in Composer().options("model") if n != "auto"])
def test_metadata_of_shipped_options(option: str) -> None:
    model = api.compose_recipe(None, [f"model={option}"]).recipe.model
    family = FAMILIES.get(model.family)
    if model.definition == "composable" and "gguf" in family.keys:
        if model.family == "granitemoehybrid" and family.from_hf(model.config).mixers:
            return  # written as another architecture, which is not read
        folded = FOLDED if model.family == "falcon_h1" else {}
        check_metadata(model.family, {**model.config, **folded})


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
    with pytest.raises(CheckpointError, match="architecture 'mamba' is not supported"):
        families_of({"general.architecture": "mamba"}, "here")
    # Mistral Small 3.1, whose queries have one scale.
    assert families_of({"general.architecture": "mistral3"}, "here") == ("mistral",)
    with pytest.raises(CheckpointError, match=r"lacks the key 'x\.block_count'"):
        metadata.count("block_count")
