"""Members of families as GGUF files, read by this project and computed by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import torch
from family_models import LATENT, LLAMA3, LOCAL_GLOBAL, LONG, MEMBERS, YARN, long_factors, settings
from parity_tools import recipe_for, sample_ids

from llm_export.config.schema import Recipe
from llm_export.models.families.config_values import UNSPECIFIED
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
    ("granitemoehybrid", {**MEMBERS["granitemoehybrid"]["mixers, no rope"],
                          "position_embedding_type": "nope"}),
    ("granitemoehybrid", {**MEMBERS["granitemoehybrid"]["experts, rope, groups"],
                          "position_embedding_type": "nope"}),
    ("granitemoehybrid", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    ("granite_swa", {}),
    ("granite_swa", {"layer_rope_theta": [1e4, 0, 1e4, 1e4, 0], "attention_bias": True,
                     "mlp_bias": True, "tie_word_embeddings": False}),
    ("bamba", {}),
    ("bamba", {**MEMBERS["bamba"]["groups, biases"], "intermediate_size": 80}),
    ("mamba2", {}),
    ("mamba2", {"n_groups": 1, "use_bias": True, "use_conv_bias": False, "conv_kernel": 3,
                "tie_word_embeddings": True}),
    ("nemotron_h", {"time_step_min": 0.001}),
    ("nemotron_h", {**MEMBERS["nemotron_h"]["experts, biases"], "time_step_min": 0.001}),
    ("lfm2_moe", {"routed_scaling_factor": 1.0}),
    ("qwen3_5_text", {}),
    ("qwen3_5_text", {**MEMBERS["qwen3_5_text"]["three taps, biases, tied"],
                      "num_hidden_layers": 2}),
    ("gemma4_text", {}),
    ("gemma4_text", {**MEMBERS["gemma4_text"]["keys are values, no inputs of layers"],
                     "num_kv_shared_layers": 0, "use_double_wide_mlp": False}),
    ("apertus", {}),
    ("apertus", {"attention_bias": True, "tie_word_embeddings": True, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e4}}),
    ("bitnet", {"hidden_act": "silu", "tie_word_embeddings": True}),
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


def build(family: str, changes: dict[str, Any] | None = None) -> Any:
    changes = changes or {}
    config = settings(family, next(iter(MEMBERS[family]))) | changes
    absent = {key for key in hf_models.SIZES if changes.get(key, 0) is None}
    return hf_models.build(family, **{k: v for k, v in config.items() if k not in absent})


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
