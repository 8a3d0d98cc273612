"""Configs of tiny members of transformers' causal models, from the defaults of their types."""

from __future__ import annotations

import json
import re
from typing import Any

from transformers import CONFIG_MAPPING

from llm_export.checkpoints.composed_config import text_config_of
from llm_export.models.hf.config import transformers_config

SIZES = {
    r"vocab_size|vocab_size_per_layer_input": 320,
    r"hidden_size|n_embd|d_model|embed_dim|word_embed_proj_dim|attention_hidden_size": 64,
    r"num_hidden_layers|n_layers?|num_layers": 2,
    r"((en|de)coder_)?(num_)?attention_heads|n_heads?|num_heads|linear_num_(value_)?heads": 4,
    r"num_(global_)?key_value_heads|num_kv_heads|linear_num_key_heads": 2,
    r"(global_|attention_|linear_|linear_key_|linear_value_|mamba_)?head_dim|mamba_d_head": 16,
    r".*intermediate_size.*|(encoder_|decoder_)?ffn_dim|n_inner|d_ff|ffn_hidden_size": 96,
    r"num_local_experts|num_experts|n_routed_experts|moe_num_experts": 4,
    r"num_experts_per_tok(en)?|moe_k|top_k_experts|moe_topk|mamba_n_groups|n_groups": 2,
    r"n_group|topk_group|first_k_dense_replace|num_dense_layers": 1,
    r"max_position_embeddings|n_positions|max_seq_len": 512,
    r"q_lora_rank": 24, r"kv_lora_rank": 16, r"qk_rope_head_dim": 8, r"qk_nope_head_dim": 16,
    r"v_head_dim": 12, r"mamba_d_state|state_size|ssm_state_size": 16,
    r"mamba_(n|num)_heads": 8, r"mamba_d_ssm": 128, r"mamba_dt_rank|time_step_rank": 8,
    r"index_topk": 12,
    r"sliding_window|window_size|attention_chunk_size": 16, r"(mamba_)?chunk_size": 8,
    r"num_kv_shared_layers|pad_token_id": 0, r"bos_token_id": 1, r"eos_token_id": 2,
}  # fmt: skip

_MLA = {"head_dim": 8}
_RELATED = {"n_routed_experts": 4, "num_experts_per_tok": 2}
MEMBERS: dict[str, dict[str, Any]] = {
    "axk1": _MLA, "youtu": _MLA, "deepseek_v3": _MLA,
    "longcat_flash": {**_MLA, "expert_ffn_hidden_size": 32, "zero_expert_num": 2},
    "deepseek_v2": {**_MLA, **_RELATED, "n_group": 1, "topk_group": 1},
    "bailing_hybrid": {**_MLA, "num_expert_group": 1, "topk_group": 1, "num_experts_per_token": 2,
                       "layer_group_size": 2, "linear_num_heads": 4, "linear_head_dim": 16},
    "dots1": {**_RELATED, "n_shared_experts": 1},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
             "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 96, "moe_top_k": 2}},
    "git": {"vision_config": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
                              "num_attention_heads": 2}},
    "codegen": {"rotary_dim": 8}, "gptj": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2},
    "mamba2": {"num_heads": 8},
    "hunyuan_v1_dense": {"head_dim": 16}, "hunyuan_v1_moe": {"head_dim": 16},
    "ministral": {"head_dim": 16}, "nemotron": {"num_key_value_heads": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "zaya": {"num_experts_per_tok": 1},
    "zamba": {"layers_block_type": ["mamba", "hybrid", "hybrid"], "num_hidden_layers": 3,
              "attention_hidden_size": 128, "attention_head_dim": 32, "n_mamba_heads": 2,
              "tie_word_embeddings": False},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"], "num_mem_blocks": 1, "adapter_rank": 8,
               "n_mamba_heads": 8, "mamba_ngroups": 2, "attention_hidden_size": 128,
               "attention_head_dim": 32},
    "xmod": {"default_language": "en_XX"},
    "xlm": {"emb_dim": 64, "causal": True},
    "gemma4_assistant": {"hidden_size_per_layer_input": 0},
    "cohere_compass_text": {
        "rope_parameters": {k: {"rope_type": "default", "rope_theta": 1e4}
                            for k in ("full_attention", "sliding_attention")},
    },
}  # fmt: skip
"""Type -> values that its defaults or ``SIZES`` leave out."""


def tiny_config(model_type: str) -> Any:
    """The default config, as a decoder's, with every size that is known by name made small.

    Of a composed type, that of its text model.
    """
    stated = CONFIG_MAPPING[model_type]().to_dict()
    text = text_config_of(stated)
    if text is not None:
        return _tiny(str(text.config["model_type"]), dict(text.config))
    return _tiny(model_type, stated)


def _tiny(model_type: str, stated: dict[str, Any]) -> Any:
    kind = CONFIG_MAPPING[model_type]
    default = kind().to_dict()
    small = {
        key: size
        for key, value in default.items()
        for pattern, size in SIZES.items()
        if re.fullmatch(pattern, key) and type(value) in (int, float)
    }
    if "kv_lora_rank" in default and "num_key_value_heads" in small:
        small["num_key_value_heads"] = 4  # latent attention has as many as queries
    role = {"is_decoder": True} if "is_decoder" in default else {}
    if default.get("is_encoder_decoder"):
        role["is_encoder_decoder"] = False
    made = kind(**{**small, **role, **MEMBERS.get(model_type, {})})
    return transformers_config(json.loads(made.to_json_string(use_diff=False)))
