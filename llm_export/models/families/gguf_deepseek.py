"""Convert GGUF metadata of architecture ``deepseek2`` to config.json keys.

Files written after April 2025 describe the absorbed form of latent attention: one key/value head
of the latent's size, with the original sizes under separate keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families.config_values import Unspecified
from llm_export.models.families.gguf_metadata import Metadata, read_common
from llm_export.models.families.gguf_rope import read_rope

_SOFTMAX, _SIGMOID = 1, 2


def _untold(example: str) -> Unspecified:
    return Unspecified(
        "GGUF files of before October 2025 do not hold the groups of experts", example
    )


def v2(raw: Mapping[str, Any]) -> dict[str, object]:
    m = Metadata(raw)
    m.expect("expert_gating_func", _SOFTMAX, 0)
    facts = _latent(m) | {"scoring_func": "softmax", "norm_topk_prob": False}
    m.expect("expert_weights_norm", False)
    groups = m.take("expert_group_count", before=None)
    kept = m.take("expert_group_used_count", before=None)
    if groups is None:
        facts |= {
            "topk_method": _untold("greedy, or group_limited_greedy for DeepSeek-V2 236B"),
            "n_group": _untold("1, or 8 for DeepSeek-V2 236B"),
            "topk_group": _untold("1, or 3 for DeepSeek-V2 236B"),
        }
    else:
        method = "group_limited_greedy" if groups > 1 else "greedy"
        facts |= {"topk_method": method, "n_group": groups, "topk_group": kept}
    m.finish()
    return facts


def v3(raw: Mapping[str, Any]) -> dict[str, object]:
    m = Metadata(raw)
    m.expect("expert_gating_func", _SIGMOID)
    facts = _latent(m) | {"scoring_func": "sigmoid", "topk_method": "noaux_tc"}
    facts["norm_topk_prob"] = bool(m.take("expert_weights_norm", before=False))
    facts["n_group"] = m.take("expert_group_count", before=_untold("8 for DeepSeek-V3"))
    facts["topk_group"] = m.take("expert_group_used_count", before=_untold("4 for DeepSeek-V3"))
    m.finish()
    return facts


def _latent(m: Metadata) -> dict[str, object]:
    facts = read_common(m)
    # One KV head in the absorbed form; the original model has as many as query heads.
    facts["num_key_value_heads"] = facts["num_attention_heads"]
    key, value = m.count("attention.key_length"), m.count("attention.value_length")
    key = m.count("attention.key_length_mla", before=key)
    value = m.count("attention.value_length_mla", before=value)
    log_multiplier = m.take("rope.scaling.yarn_log_multiplier", before=None)
    rotary = m.count("rope.dimension_count", before=None)
    rope = read_rope(m, rotary)
    if log_multiplier and isinstance(rope["rope_scaling"], dict):
        # The converter stores mscale_all_dim / 10; mscale has the same value.
        mscale = round(10 * log_multiplier, 6)
        rope["rope_scaling"] |= {"mscale": mscale, "mscale_all_dim": mscale}
    return {
        **facts,
        **rope,
        "attention_bias": m.has("blk.0.attn_kv_a_mqa.bias"),
        "q_lora_rank": m.take("attention.q_lora_rank", before=None) or None,
        "kv_lora_rank": m.count("attention.kv_lora_rank"),
        "qk_nope_head_dim": key - rotary,
        "qk_rope_head_dim": rotary,
        "v_head_dim": value,
        "first_k_dense_replace": m.count("leading_dense_block_count"),
        "moe_intermediate_size": m.count("expert_feed_forward_length"),
        "n_routed_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
        "n_shared_experts": m.count("expert_shared_count"),
        "routed_scaling_factor": m.take("expert_weights_scale", before=1.0),
    }
