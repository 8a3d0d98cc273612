"""Convert the GGUF metadata of architectures with experts beside a network to config.json keys.

Rules of llama.cpp as in ``gguf_configs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families.gguf_granite import scales
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_rope import read_rope

Facts = dict[str, Any]
_SOFTMAX, _SIGMOID = 1, 2


def ernie4_5_moe(raw: Mapping[str, Any]) -> Facts:
    m = Metadata(raw)
    m.expect("expert_gating_func", _SOFTMAX)
    facts = _common(m) | {"use_bias": m.has("blk.0.attn_q.bias")}
    # The size beside it is another key over the number of key/value heads, and not always right.
    m.take("expert_shared_feed_forward_length", before=None)
    return _finish(m, facts | {
        "moe_num_experts": m.count("expert_count"),
        "moe_k": m.count("expert_used_count"),
        "moe_intermediate_size": m.count("expert_feed_forward_length"),
        "moe_num_shared_experts": m.take("expert_shared_count", before=0),
        "moe_layer_start_index": m.take("leading_dense_block_count", before=0),
        "moe_layer_interval": m.count("interleave_moe_layer_step"),
    })  # fmt: skip


def glm4_moe(raw: Mapping[str, Any]) -> Facts:
    m = Metadata(raw)
    further = m.take("nextn_predict_layers", before=0)
    facts = _common(m) | _corrected(m)
    # Layers that predict further tokens are counted as layers.
    facts["num_hidden_layers"] -= further
    facts["attention_bias"] = m.has("blk.0.attn_q.bias")
    facts["use_qk_norm"] = m.has("blk.0.attn_q_norm.weight")
    facts.setdefault("partial_rotary_factor", 1.0)
    return _finish(m, facts)


def dots1(raw: Mapping[str, Any]) -> Facts:
    m = Metadata(raw)
    facts = _common(m) | _corrected(m)
    windows = {"sliding_window": None, "layer_types": None}
    return _finish(m, facts | {"attention_bias": m.has("blk.0.attn_q.bias")} | windows)


def qwen2_moe(raw: Mapping[str, Any]) -> Facts:
    m = Metadata(raw)
    m.expect("expert_gating_func", _SOFTMAX)
    facts = _common(m)
    dense = facts["intermediate_size"]
    chosen = m.count("expert_used_count")
    return _finish(m, facts | {
        "num_experts": m.count("expert_count"),
        "num_experts_per_tok": chosen,
        "moe_intermediate_size": m.count("expert_feed_forward_length", before=dense // chosen),
        "shared_expert_intermediate_size": m.count(
            "expert_shared_feed_forward_length", before=dense),
        "norm_topk_prob": False,
        "qkv_bias": m.has("blk.0.attn_q.bias"),
        "mlp_only_layers": None,
        "decoder_sparse_step": 1,
    })  # fmt: skip


def granitemoe(raw: Mapping[str, Any]) -> Facts:
    m = Metadata(raw)
    # llama.cpp uses this Granite key as the flag for RoPE.
    m.expect("rope.scaling.finetuned", True)
    facts = _common(m) | scales(m) | {"attention_bias": m.has("blk.0.attn_q.bias")}
    m.expect("expert_shared_feed_forward_length", 0)
    m.expect("expert_gating_func", _SOFTMAX)
    return _finish(m, facts | {
        "num_local_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
    })  # fmt: skip


def hunyuan_v1_moe(raw: Mapping[str, Any]) -> Facts:
    # The base of RoPE is that after its stretching by ``alpha``.
    m = Metadata(raw)
    m.expect("expert_gating_func", _SOFTMAX)
    facts = _common(m) | {"attention_bias": m.has("blk.0.attn_q.bias")}
    size = facts["intermediate_size"]
    m.expect("expert_feed_forward_length", size)
    m.expect("expert_shared_feed_forward_length", size)
    m.expect("expert_shared_count", 1)
    return _finish(m, facts | {
        "num_experts": m.count("expert_count"), "moe_topk": m.count("expert_used_count"),
    })  # fmt: skip


def _common(m: Metadata) -> Facts:
    facts = read_common(m)
    facts["head_dim"] = read_head_dim(m, facts)
    return facts | read_rope(m, facts["head_dim"])


def _corrected(m: Metadata) -> Facts:
    m.expect("expert_gating_func", _SIGMOID)
    m.expect("expert_group_count", 1, 0)
    m.expect("expert_group_used_count", 1, 0)
    return {
        "n_routed_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
        "moe_intermediate_size": m.count("expert_feed_forward_length"),
        "n_shared_experts": m.count("expert_shared_count"),
        "first_k_dense_replace": m.take("leading_dense_block_count", before=0),
        "norm_topk_prob": bool(m.take("expert_weights_norm", before=False)),
        "routed_scaling_factor": m.take("expert_weights_scale", before=1.0),
    }


def _finish(m: Metadata, facts: Facts) -> Facts:
    m.finish()
    return facts
