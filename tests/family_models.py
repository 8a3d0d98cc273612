"""Tiny members of every family, odd ones too, as transformers configs."""

from __future__ import annotations

from typing import Any

from hf_models import SIZES

LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
        "original_max_position_embeddings": 16}  # fmt: skip
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16,
        "factor": 32.0}  # fmt: skip
LATENT = {
    "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
    "num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "first_k_dense_replace": 1, "n_shared_experts": 2,
    "head_dim": None,
}  # fmt: skip
LOCAL_GLOBAL = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
}

GEMMA4 = {"sliding_window": 8, "global_head_dim": 32, "hidden_size_per_layer_input": 8,
          "vocab_size_per_layer_input": 320}  # fmt: skip


def long_factors(channels: int) -> dict[str, Any]:
    return {"short_factor": [1.0 + 0.1 * i for i in range(channels)],
            "long_factor": [1.5 + i for i in range(channels)]}  # fmt: skip


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
    },
    "olmo2": {"plain": {"head_dim": None}, "no grouping": {"num_key_value_heads": 4,
                                                           "attention_bias": True}},
    "granite": {"multipliers": {
        "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
        "attention_multiplier": 0.0156, "head_dim": None, "tie_word_embeddings": True}},
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
    "gpt_oss": {"sinks": {
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8,
        "rope_parameters": {**YARN, "truncate": False, "beta_fast": 32.0, "beta_slow": 1.0}}},
}  # fmt: skip


_NO_KEY = ("head_dim", "rms_norm_eps")


def settings(family: str, variant: str) -> dict[str, Any]:
    """The whole set of config arguments of a member, without keys that its config lacks."""
    both = {**SIZES, **MEMBERS[family][variant]}
    return {key: value for key, value in both.items() if key not in _NO_KEY or value is not None}
