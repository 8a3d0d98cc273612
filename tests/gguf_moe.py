"""What llama.cpp's converter writes of mixtures of experts with a network beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf
from torch import Tensor


def renamed(kind: str, name: str, value: Tensor) -> tuple[str, Tensor]:
    """transformers' name of a tensor in memory -> that of the checkpoint that is converted."""
    if kind == "ernie4_5_moe" and "moe_statics" in name:
        return name.replace("gate.moe_statics", "moe_statics"), value.squeeze(0)
    if kind == "granitemoe":
        name = name.replace("router.weight", "router.layer.weight")
        return name.replace("block_sparse_moe.experts", "mlp.experts"), value
    if kind == "qwen2_moe" and "shared_expert_gate" in name:
        return name, value.squeeze(0)
    return name, value


def ernie(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.moe_num_experts)
    w.add_expert_used_count(c.moe_k)
    w.add_interleave_moe_layer_step(c.moe_layer_interval)
    w.add_leading_dense_block_count(c.moe_layer_start_index)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_shared_count(c.moe_num_shared_experts)
    if c.moe_num_shared_experts:
        w.add_expert_shared_feed_forward_length(c.intermediate_size // c.num_key_value_heads)


def corrected(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.n_routed_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_shared_count(c.n_shared_experts)
    w.add_leading_dense_block_count(c.first_k_dense_replace)
    w.add_expert_weights_scale(c.routed_scaling_factor)
    w.add_expert_weights_norm(c.norm_topk_prob)
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_expert_group_count(c.n_group)
    w.add_expert_group_used_count(c.topk_group)
    if c.model_type == "glm4_moe":
        w.add_rope_dimension_count(int(c.head_dim * c.rope_parameters["partial_rotary_factor"]))


def qwen(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_shared_feed_forward_length(c.shared_expert_intermediate_size)


def hunyuan(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.moe_topk)
    w.add_expert_feed_forward_length(c.intermediate_size)
    w.add_expert_shared_feed_forward_length(c.intermediate_size)
    w.add_expert_shared_count(1)


EXTRA: dict[str, Callable[[gguf.GGUFWriter, Any], None]] = {
    "ernie4_5_moe": ernie, "glm4_moe": corrected, "dots1": corrected, "qwen2_moe": qwen,
    "hunyuan_v1_moe": hunyuan,
}  # fmt: skip
