"""Tiny members of every family, odd ones too, as transformers configs."""

from __future__ import annotations

from typing import Any

import pytest
from hf_models import SIZES

LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
        "original_max_position_embeddings": 16}  # fmt: skip
SCALED_QUERIES = {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3,
                  "max_position_embeddings": 512}  # fmt: skip
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16,
        "factor": 32.0}  # fmt: skip
LATENT = {
    "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
    "num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_shared_experts": 2,
    "head_dim": None,
}  # fmt: skip
CORRECTED = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
             "routed_scaling_factor": 1.5}  # fmt: skip
ERNIE = {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 48}
DELTA = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
    "linear_value_head_dim": 8,
}  # fmt: skip
LOCAL_GLOBAL = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
}

LOCAL_YARN = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {**YARN, "rope_theta": 1e6, "attention_factor": 1.2},
}
GRANITE4 = {
    "layer_types": ["attention"] * 2, "num_local_experts": 0, "shared_intermediate_size": 80,
    "mamba_n_heads": 8,
}  # fmt: skip
GEMMA4 = {"sliding_window": 8, "global_head_dim": 32, "hidden_size_per_layer_input": 8,
          "vocab_size_per_layer_input": 320}  # fmt: skip


def long_factors(channels: int) -> dict[str, Any]:
    return {"short_factor": [1.0 + 0.1 * i for i in range(channels)],
            "long_factor": [1.5 + i for i in range(channels)]}  # fmt: skip


STATE = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 24}
"""Sizes of Mamba-2 mixers with an inner size of 128."""
MAMBA2 = {
    "intermediate_size": None, "num_attention_heads": None, "num_key_value_heads": None,
    "max_position_embeddings": None, "rms_norm_eps": None, "num_heads": 8, "head_dim": 16,
    "state_size": 24, "n_groups": 2,
}  # fmt: skip
NEMOTRON = {
    "rms_norm_eps": None, "num_hidden_layers": None, "mamba_num_heads": 8, "mamba_head_dim": 12,
    "ssm_state_size": 24, "n_groups": 2, "time_step_min": 0.2,
}  # fmt: skip


# family -> variant -> changes to SIZES
MEMBERS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "grouped": {},
        "tied": {"tie_word_embeddings": True},
        "one kv head": {"num_key_value_heads": 1},
        "no grouping": {"num_key_value_heads": 4},
        "wide heads": {"head_dim": 32},
        "biases": {"attention_bias": True, "mlp_bias": True},
        "linear scaling": {"rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                               "rope_theta": 1e4}},
        "dynamic scaling": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0,
                                                "rope_theta": 1e4}},
        "llama3 scaling": {"rope_parameters": LLAMA3},
        "yarn scaling": {"rope_parameters": YARN},
        "longrope scaling": {"rope_parameters": {**LONG, **long_factors(8)}},
    },
    "mistral": {"window": {"sliding_window": 8}, "no window": {"sliding_window": None}},
    "qwen2": {
        "plain": {"head_dim": None},
        "tied, upper layers slide": {
            "tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 8,
            "max_window_layers": 1, "head_dim": None,
        },
    },
    "qwen3": {
        "wide heads": {"head_dim": 32},
        "tied, biases": {"tie_word_embeddings": True, "attention_bias": True},
        "mixed layers": {
            "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
        },
    },
    "smollm3": {
        "NoPE": {"num_hidden_layers": 4, "head_dim": None},
        "NoPE layers slide": {"num_hidden_layers": 4, "use_sliding_window": True,
                              "sliding_window": 8, "no_rope_layer_interval": 2,
                              "head_dim": None, "tie_word_embeddings": False},
    },
    "phi3": {
        "window": {"sliding_window": 8, "head_dim": None},
        "partial longrope, tied": {
            "tie_word_embeddings": True, "head_dim": None, "original_max_position_embeddings": 16,
            "rope_parameters": {**LONG, **long_factors(4), "partial_rotary_factor": 0.5},
        },
    },
    "gemma": {"one kv head": {"num_key_value_heads": 1, "head_dim": 32}},
    "gemma2": {
        "mixed layers": {"sliding_window": 8, "num_hidden_layers": 3, "head_dim": 32,
                         "query_pre_attn_scalar": 24},
        "no caps": {"sliding_window": 8, "attn_logit_softcapping": None,
                    "final_logit_softcapping": None},
    },
    "gemma3_text": {
        "local and global": {"sliding_window": 8, "num_hidden_layers": 3, "head_dim": 32,
                             "sliding_window_pattern": 3, "rope_parameters": LOCAL_GLOBAL},
    },
    "gemma4_text": {
        "shared layers": {
            **GEMMA4, "num_hidden_layers": 6, "num_kv_shared_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"] * 2,
            "use_double_wide_mlp": True, "final_logit_softcapping": 30.0,
        },
        "keys are values, no inputs of layers": {
            **GEMMA4, "num_hidden_layers": 3, "layer_types": ["sliding_attention"] * 2
            + ["full_attention"], "hidden_size_per_layer_input": 0, "attention_k_eq_v": True,
            "num_global_key_value_heads": 1, "attention_bias": True,
        },
        "experts beside the network": {
            **GEMMA4, "num_hidden_layers": 3, "num_kv_shared_layers": 1,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"],
            "enable_moe_block": True, "num_experts": 5, "top_k_experts": 2,
            "moe_intermediate_size": 40,
        },
    },
    "olmo2": {"plain": {"head_dim": None}, "no grouping": {"num_key_value_heads": 4,
                                                           "attention_bias": True}},
    "granite": {"multipliers": {
        "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.0156, "head_dim": None, "tie_word_embeddings": True}},
    "granite_swa": {
        "local and global": {
            "sliding_window": 8, "num_hidden_layers": 5, "embedding_multiplier": 12.0,
            "logits_scaling": 8.0, "residual_multiplier": 0.22, "attention_multiplier": 0.0156,
        },
        "bases, NoPE, biases": {
            "sliding_window": 8, "num_hidden_layers": 4, "layer_rope_theta": [1e4, 0, 5e5, 1e4],
            "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False,
        },
    },
    "exaone4": {
        "local and global": {"num_hidden_layers": 5, "sliding_window": 8},
        "without window": {"sliding_window": None, "layer_types": ["full_attention"] * 2,
                     "rope_parameters": LLAMA3, "tie_word_embeddings": True},
    },
    "olmo3": {
        "yarn": {"num_hidden_layers": 4, "sliding_window": 8, "rope_parameters": LOCAL_YARN},
        "all slide, biases": {"layer_types": ["sliding_attention"] * 2, "sliding_window": 8,
                              "attention_bias": True, "tie_word_embeddings": True},
    },
    "cohere2": {
        "local and global": {"num_hidden_layers": 5, "sliding_window": 8, "logit_scale": 0.25,
                             "rms_norm_eps": None},
        "biases, untied": {
            "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 8,
            "attention_bias": True, "tie_word_embeddings": False, "head_dim": 24,
            "rms_norm_eps": None,
        },
    },
    "apertus": {
        "llama3 scaling": {"rope_parameters": LLAMA3},
        "biases, tied": {"attention_bias": True, "tie_word_embeddings": True, "head_dim": 32},
    },
    "stablelm": {
        "partial rotary": {"layer_norm_eps": 1e-5, "rms_norm_eps": None, "head_dim": None},
        "parallel, biases": {"rms_norm_eps": None, "use_parallel_residual": True,
                             "use_qkv_bias": True, "head_dim": None, "num_key_value_heads": 4},
    },
    "starcoder2": {
        "window": {"sliding_window": 8, "norm_epsilon": 1e-5, "rms_norm_eps": None,
                   "head_dim": None},
        "no biases, untied": {"rms_norm_eps": None, "use_bias": False,
                              "tie_word_embeddings": False, "head_dim": None},
    },
    "mixtral": {"experts": {"num_local_experts": 4, "num_experts_per_tok": 2},
                "window": {"num_local_experts": 3, "num_experts_per_tok": 1,
                           "sliding_window": 8}},
    "qwen3_moe": {
        "normalized": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                       "norm_topk_prob": True},
        "some dense": {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 48,
                       "mlp_only_layers": [0], "tie_word_embeddings": True},
    },
    "qwen2_moe": {"some dense, windows": {
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 32, "norm_topk_prob": True,
        "decoder_sparse_step": 2, "use_sliding_window": True, "sliding_window": 8,
        "max_window_layers": 1, "tie_word_embeddings": True, "head_dim": None}},
    "granitemoe": {"multipliers": {
        "num_local_experts": 4, "num_experts_per_tok": 2, "embedding_multiplier": 12.0,
        "logits_scaling": 6.0, "residual_multiplier": 0.22, "attention_multiplier": 0.0156,
        "head_dim": None, "tie_word_embeddings": True}},
    "hunyuan_v1_moe": {"stretched base, biases": {
        "num_experts": 4, "moe_topk": [3, 1], "head_dim": 32, "attention_bias": True,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "alpha": 50.0,
                            "factor": 1.0, "mscale": 1.0}}},
    "ernie4_5_moe": {
        "dense first": {**ERNIE, "head_dim": 32},
        "dense between, biases, low weights": {
            **ERNIE, "num_hidden_layers": 3, "moe_layer_interval": 2, "moe_layer_start_index": 0,
            "moe_layer_end_index": 2, "moe_num_shared_experts": 0, "moe_norm_min": 0.6,
            "moe_k": 1, "use_bias": True, "tie_word_embeddings": False},
    },
    "glm4_moe": {"biases, norms, groups": {
        **CORRECTED, "use_qk_norm": True, "head_dim": 32, "n_group": 4, "topk_group": 2,
        "n_shared_experts": 2, "attention_bias": True}},
    "glm4_moe_lite": {"dense by kinds": {
        **LATENT, "first_k_dense_replace": None, "q_lora_rank": 24,
        "mlp_layer_types": ["dense", "sparse"]}},
    "dots1": {"windows": {
        **CORRECTED, "n_shared_experts": 1, "sliding_window": 8, "max_window_layers": 1,
        "norm_topk_prob": True, "first_k_dense_replace": 1}},
    "olmoe": {"experts": {"num_experts": 4, "num_experts_per_tok": 2, "head_dim": None}},
    "deepseek_v2": {
        "greedy": {**LATENT, "q_lora_rank": None, "topk_method": "greedy"},
        "groups": {**LATENT, "q_lora_rank": 24, "topk_method": "group_limited_greedy",
                   "n_group": 4, "topk_group": 2, "routed_scaling_factor": 1.5},
    },
    "deepseek_v3": {
        "yarn": {**LATENT, "q_lora_rank": 24, "n_group": 4, "topk_group": 2,
                 "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
        "plain rope": {**LATENT, "q_lora_rank": None, "n_group": 2, "topk_group": 1},
    },
    "lfm2": {
        "convolutions": {"norm_eps": 1e-5, "rms_norm_eps": None, "head_dim": None,
                         "block_multiple_of": 32, "num_hidden_layers": 4, "layer_types": [
                             "conv", "conv", "full_attention", "conv"]},
        "four taps, biases, untied": {
            "norm_eps": 1e-5, "rms_norm_eps": None, "head_dim": None, "conv_L_cache": 4,
            "conv_bias": True, "block_auto_adjust_ff_dim": False, "num_hidden_layers": 3,
            "full_attn_idxs": [0, 2], "tie_word_embeddings": False},
    },
    "lfm2_moe": {"experts": {
        "norm_eps": 1e-5, "rms_norm_eps": None, "head_dim": None, "num_hidden_layers": 3,
        "num_dense_layers": 1, "moe_intermediate_size": 48, "num_experts": 4,
        "num_experts_per_tok": 2, "routed_scaling_factor": 1.5,
        "layer_types": ["conv", "full_attention", "conv"]}},
    "lfm3": {
        "all kinds of layers": {"norm_eps": 1e-5, "rms_norm_eps": None, "num_hidden_layers": 5,
                                "sliding_window": 8},
        "no gate, no norms after": {
            "norm_eps": 1e-5, "rms_norm_eps": None, "use_attention_gate": False,
            "use_sandwich_norm": False, "attention_bias": True, "num_hidden_layers": 3,
            "layer_types": ["full_attention", "conv", "full_attention"],
            "tie_word_embeddings": False},
    },
    "qwen3_5_text": {
        "two value heads a key head": {
            **DELTA, "num_hidden_layers": 4, "head_dim": 32, "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25,
                "mrope_section": [2, 1, 1], "mrope_interleaved": True}},
        "three taps, biases, tied": {
            **DELTA, "linear_num_value_heads": 2, "linear_conv_kernel_dim": 3,
            "tie_word_embeddings": True, "attention_bias": True,
            "layer_types": ["full_attention", "linear_attention"]},
    },
    "qwen3_5_moe_text": {
        "gated network": {**DELTA, "intermediate_size": None,
                          "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                          "shared_expert_intermediate_size": 32, "layer_types": [
                              "linear_attention", "full_attention"]},
    },
    "mamba2": {
        "groups": MAMBA2,
        "biases, no conv bias, tied, limited steps": {
            **MAMBA2, "n_groups": 1, "use_bias": True, "use_conv_bias": False, "conv_kernel": 3,
            "tie_word_embeddings": True, "time_step_limit": [0.4, 0.9]},
    },
    "bamba": {
        "partial rotary": {**STATE, "head_dim": None, "attn_layer_indices": [1]},
        "groups, biases": {**STATE, "head_dim": None, "attn_layer_indices": [0], "mlp_bias": True,
                           "attention_bias": True, "mamba_proj_bias": True, "mamba_n_groups": 4,
                           "mamba_conv_bias": False, "tie_word_embeddings": True},
    },
    "granitemoehybrid": {
        "dense": {**GRANITE4, "position_embedding_type": "rope", "embedding_multiplier": 12.0,
                  "logits_scaling": 8.0, "residual_multiplier": 0.22,
                  "attention_multiplier": 0.0156, "tie_word_embeddings": True},
        "NoPE": {**GRANITE4, "attention_bias": True},
        "mixers, no rope": {
            **STATE, "head_dim": None, "num_hidden_layers": 3, "num_local_experts": 0,
            "layer_types": ["mamba", "attention", "mamba"], "shared_intermediate_size": 80,
            "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
            "attention_multiplier": 0.0156, "tie_word_embeddings": True},
        "experts, rope, groups": {
            **STATE, "head_dim": None, "num_local_experts": 4, "num_experts_per_tok": 2,
            "layer_types": ["attention", "mamba"], "shared_intermediate_size": 48,
            "position_embedding_type": "rope", "mamba_n_groups": 2, "attention_bias": True},
    },
    "falcon_h1": {
        "multipliers": {
            **STATE, "mamba_d_head": 12, "mamba_d_ssm": 96, "attention_in_multiplier": 1.2,
            "attention_out_multiplier": 0.9, "embedding_multiplier": 5.6, "key_multiplier": 0.4,
            "lm_head_multiplier": 0.04, "mlp_multipliers": [0.9, 0.6], "ssm_in_multiplier": 1.25,
            "ssm_multipliers": [0.35, 0.25, 0.4, 0.5, 0.3], "ssm_out_multiplier": 0.24},
        "norm after the gate, biases": {
            **STATE, "mamba_d_ssm": 128, "mamba_rms_norm": True, "mamba_norm_before_gate": False,
            "mamba_n_groups": 2, "attention_bias": True, "mlp_bias": True, "mamba_proj_bias": True,
            "projectors_bias": True, "mlp_multipliers": [0.9, 0.6],
            "ssm_multipliers": [0.35, 0.25, 0.4, 0.5, 0.3], "tie_word_embeddings": True},
        "norm before the gate": {
            **STATE, "mamba_d_ssm": None, "mamba_rms_norm": True, "head_dim": None,
            "mamba_norm_before_gate": True, "mamba_n_groups": 4, "projectors_bias": True},
    },
    "nemotron_h": {
        "one sublayer each": {**NEMOTRON, "layers_block_type": [
            "mamba", "mlp", "attention", "mlp", "mamba"]},
        "experts, biases": {
            **NEMOTRON, "layers_block_type": ["moe", "mamba", "attention", "moe"],
            "n_routed_experts": 6, "moe_intermediate_size": 40, "n_group": 2, "topk_group": 1,
            "moe_shared_expert_intermediate_size": 48, "routed_scaling_factor": 2.5,
            "use_bias": True, "mlp_bias": True, "use_conv_bias": False},
        "latent experts, biases": {
            **NEMOTRON, "layers_block_type": ["mamba", "moe", "attention"],
            "n_routed_experts": 4, "moe_intermediate_size": 40, "moe_latent_size": 24,
            "moe_shared_expert_intermediate_size": 48, "mlp_bias": True},
    },
    "gpt_oss": {"sinks": {
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8,
        "rope_parameters": {**YARN, "truncate": False, "beta_fast": 32.0, "beta_slow": 1.0}}},
    "ministral3": {
        "scaled queries": {"rope_parameters": {**SCALED_QUERIES, "type": "yarn"}},
        "window, wide heads": {
            "sliding_window": 8, "head_dim": 32, "tie_word_embeddings": True,
            "rope_parameters": {**SCALED_QUERIES, "mscale_all_dim": 0.5, "mscale": 2.0},
        },
    },
    "hunyuan_v1_dense": {
        "stretched base": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4,
                                               "alpha": 50.0, "factor": 1.0, "mscale": 1.0}},
        "plain rope, biases, tied": {"attention_bias": True, "head_dim": 32,
                                     "tie_word_embeddings": True},
        "scaled rotations": {"rope_parameters": YARN, "num_key_value_heads": 1},
    },
    "seed_oss": {
        "biases": {"head_dim": 32},
        "all biases, tied": {"attention_out_bias": True, "mlp_bias": True,
                             "num_key_value_heads": 1, "tie_word_embeddings": True},
    },
    "arcee": {
        "no gate": {},
        "biases, yarn": {"attention_bias": True, "mlp_bias": True, "rope_parameters": YARN,
                         "num_key_value_heads": 4, "tie_word_embeddings": True},
    },
    "ernie4_5": {
        "pairs": {"head_dim": 32},
        "biases, untied": {"use_bias": True, "tie_word_embeddings": False,
                           "rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                               "rope_theta": 1e4}},
    },
    "glm4": {
        "half of a head": {"head_dim": 32},
        "whole head, no biases": {"attention_bias": False, "tie_word_embeddings": True,
                                  "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                                      "partial_rotary_factor": 1.0}},
        "quarter of a head": {"num_key_value_heads": 4,
                              "rope_parameters": {"rope_type": "default", "rope_theta": 1e4,
                                                  "partial_rotary_factor": 0.25}},
    },
    "bitnet": {
        "inner norms": {"head_dim": None},
        "biases, tied": {"attention_bias": True, "num_key_value_heads": 4, "head_dim": None,
                         "hidden_act": "silu", "tie_word_embeddings": True},
    },
}  # fmt: skip


def settings(family: str, variant: str) -> dict[str, Any]:
    """The whole set of config arguments of a member, without keys that its config lacks."""
    changes = MEMBERS[family][variant]
    absent = {key for key in SIZES if changes.get(key, 0) is None}
    return {key: value for key, value in (SIZES | changes).items() if key not in absent}


def members() -> list[Any]:
    """(family, variant) to parametrize with: one member of each family, and the others slow."""
    return [
        pytest.param(family, variant, marks=pytest.mark.slow if later else ())
        for family, variants in MEMBERS.items()
        for later, variant in enumerate(variants)
    ]
