"""The metadata of models with several kinds of layers, as llama.cpp's converter writes it.

By architecture, since the converter chooses it by the kinds of layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gguf


def kinds_of(c: Any) -> list[str]:
    """mamba, attention, mlp, moe, linear_attention ... by layer, under their published names."""
    published = {"linear_attention": "mamba", "full_attention": "attention"}
    return [published.get(kind, kind) for kind in getattr(c, "layer_types", None) or ()]


def _sizes(w: gguf.GGUFWriter, c: Any, kv: Any, ffn: Any, positions: int | None = None) -> None:
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(positions or c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(ffn)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(kv)
    w.add_file_type(0)


def _head_dim(c: Any) -> int:
    return int(getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads)


def _lengths(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)


def _attention(c: Any) -> list[int]:
    """Key/value heads by layer, 0 where there is no attention."""
    return [c.num_key_value_heads if kind == "attention" else 0 for kind in kinds_of(c)]


def _ssm(w: gguf.GGUFWriter, conv: int, inner: int, state: int, heads: int, groups: int) -> None:
    w.add_ssm_conv_kernel(conv)
    w.add_ssm_inner_size(inner)
    w.add_ssm_state_size(state)
    w.add_ssm_time_step_rank(heads)
    w.add_ssm_group_count(groups)


def granite_scales(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_attention_scale(c.attention_multiplier)
    w.add_embedding_scale(c.embedding_multiplier)
    w.add_residual_scale(c.residual_multiplier)
    w.add_logit_scale(c.logits_scaling)


def mamba2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_context_length(2**20)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_block_count(c.num_hidden_layers)
    _ssm(w, c.conv_kernel, c.num_heads * c.head_dim, c.state_size, c.num_heads, c.n_groups)
    w.add_layer_norm_rms_eps(c.layer_norm_epsilon)


def _hybrid(w: gguf.GGUFWriter, c: Any) -> None:
    """``GraniteHybridModel``, whose keys the attention layers' own architectures have, too."""
    bamba = c.model_type == "bamba"
    rotates = bamba or "mamba" not in kinds_of(c)
    _sizes(w, c, _attention(c), c.intermediate_size, None if rotates else 2**20)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(_head_dim(c) // (2 if bamba else 1))
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    if bamba:
        w.add_vocab_size(c.vocab_size)
    else:
        w.add_expert_count(c.num_local_experts)
        w.add_expert_used_count(c.num_experts_per_tok)
        w.add_expert_shared_feed_forward_length(c.shared_intermediate_size)
        granite_scales(w, c)
    inner = c.mamba_expand * c.hidden_size
    _ssm(w, c.mamba_d_conv, inner, c.mamba_d_state, c.mamba_n_heads, c.mamba_n_groups)
    w.add_rope_scaling_finetuned(rotates)


def nemotron_h(w: gguf.GGUFWriter, c: Any) -> None:
    kinds = kinds_of(c)
    sizes = {"mlp": getattr(c, "intermediate_size", 0), "moe": c.moe_intermediate_size}
    _sizes(w, c, _attention(c), [sizes.get(kind, 0) for kind in kinds], 2**20)
    w.add_layer_norm_eps(c.layer_norm_epsilon)
    w.add_vocab_size(c.vocab_size)
    w.add_rope_dimension_count(c.head_dim)
    inner = c.mamba_num_heads * c.mamba_head_dim
    _ssm(w, c.conv_kernel, inner, c.ssm_state_size, c.mamba_num_heads, c.n_groups)
    w.add_rope_scaling_finetuned(False)
    _lengths(w, c)
    if "moe" in kinds:
        w.add_expert_count(c.n_routed_experts)
        w.add_expert_used_count(c.num_experts_per_tok)
        w.add_expert_group_count(c.n_group)
        w.add_expert_group_used_count(c.topk_group)
        w.add_expert_feed_forward_length(c.moe_intermediate_size)
        w.add_expert_shared_feed_forward_length(c.moe_shared_expert_intermediate_size)
        w.add_expert_shared_count(c.n_shared_experts)
        w.add_expert_weights_norm(c.norm_topk_prob)
        w.add_expert_weights_scale(c.routed_scaling_factor)


def lfm2moe(w: gguf.GGUFWriter, c: Any) -> None:
    _sizes(w, c, _attention(c), c.intermediate_size)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(c.norm_eps)
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_leading_dense_block_count(c.num_dense_layers)
    w.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    w.add_vocab_size(c.vocab_size)
    w.add_shortconv_l_cache(c.conv_L_cache)


def qwen35(w: gguf.GGUFWriter, c: Any) -> None:
    _sizes(w, c, c.num_key_value_heads, c.intermediate_size)
    rope = c.rope_parameters
    w.add_rope_dimension_sections([*rope.get("mrope_section", [11, 11, 10]), 0])
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    _lengths(w, c)
    heads = c.linear_num_value_heads
    _ssm(w, c.linear_conv_kernel_dim, c.linear_value_head_dim * heads, c.linear_key_head_dim,
         heads, c.linear_num_key_heads)  # fmt: skip
    recurrent = [kind == "linear_attention" for kind in c.layer_types]
    w.add_array("qwen35.attention.recurrent_layers", recurrent)
    w.add_full_attention_interval(4)
    w.add_rope_dimension_count(int(c.head_dim * rope.get("partial_rotary_factor", 0.25)))


def gemma4(w: gguf.GGUFWriter, c: Any) -> None:
    slides = [kind == "sliding_attention" for kind in c.layer_types]
    local, full = (c.per_layer_config[f"{kind}_attention"] for kind in ("sliding", "full"))
    heads: Any = local.num_key_value_heads
    if full.num_key_value_heads != heads:
        heads = [heads if s else full.num_key_value_heads for s in slides]
    shared, size = c.num_kv_shared_layers, c.intermediate_size
    wide = [size] * (len(slides) - shared) + [2 * size] * shared
    _sizes(w, c, heads, wide if c.use_double_wide_mlp else size)
    w.add_rope_freq_base(c.rope_parameters["full_attention"]["rope_theta"])
    w.add_rope_freq_base_swa(c.rope_parameters["sliding_attention"]["rope_theta"])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    if c.final_logit_softcapping:
        w.add_final_logit_softcapping(c.final_logit_softcapping)
    w.add_sliding_window(c.sliding_window)
    w.add_shared_kv_layers(shared)
    w.add_embedding_length_per_layer_input(c.hidden_size_per_layer_input)
    w.add_sliding_window_pattern(slides)
    _lengths(w, full)
    w.add_key_length_swa(local.head_dim)
    w.add_value_length_swa(local.head_dim)
    w.add_rope_dimension_count(full.head_dim)
    w.add_rope_dimension_count_swa(local.head_dim)


HYBRIDS: dict[str, Callable[[gguf.GGUFWriter, Any], None]] = {
    "mamba2": mamba2, "granitehybrid": _hybrid, "granitemoe": _hybrid, "nemotron_h": nemotron_h,
    "nemotron_h_moe": nemotron_h, "lfm2moe": lfm2moe, "qwen35": qwen35, "gemma4": gemma4,
}  # fmt: skip
