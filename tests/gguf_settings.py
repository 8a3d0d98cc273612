"""The metadata of transformers models as llama.cpp's converter writes it into GGUF files.

Written from what ``TextModel.set_gguf_parameters`` and those of the architectures do
(ggml-org/llama.cpp, ``conversion/``); it shares nothing with the families under test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gguf
import gguf_moe
from gguf_hybrid_settings import HYBRIDS, granite_scales
from gguf_tensors import PERMUTED


def write_metadata(w: gguf.GGUFWriter, model: Any, old: bool) -> None:
    c, kind = model.config, model.config.model_type
    if w.arch in HYBRIDS and kind != "granitemoe":  # Granite 3's has a converter of its own
        HYBRIDS[w.arch](w, c)
        return
    latent = kind.startswith("deepseek")
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(_lfm2_ffn(c) if kind == "lfm2" else c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    if kind == "lfm2":
        attends = [each == "full_attention" for each in c.layer_types]
        w.add_head_count_kv([c.num_key_value_heads if each else 0 for each in attends])
    else:
        w.add_head_count_kv(1 if latent and not old else c.num_key_value_heads)
    w.add_file_type(0)
    if kind in ("stablelm", "starcoder2", "cohere2"):
        w.add_layer_norm_eps(c.norm_epsilon if kind == "starcoder2" else c.layer_norm_eps)
    else:
        w.add_layer_norm_rms_eps(c.norm_eps if kind == "lfm2" else c.rms_norm_eps)
    if getattr(c, "head_dim", None) and not latent and not kind.startswith("granite"):
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
    _rope(w, c, kind)
    extra = EXTRA.get(kind)
    if extra:
        extra(w, c)
    if latent:
        _latent(w, c, old)
    if kind == "apertus" and hasattr(model, "state_dict"):
        _xielu(w, model)


def _rope(w: gguf.GGUFWriter, c: Any, kind: str) -> None:
    rope = c.rope_parameters
    rope = rope.get("full_attention", rope)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if kind not in ("gemma", "gemma2", "stablelm"):
        stretched = rope.get("alpha", 1) ** (head_dim / (head_dim - 2))
        w.add_rope_freq_base(rope["rope_theta"] * stretched)
    if kind in PERMUTED:
        w.add_rope_dimension_count(head_dim)
    if kind in ("phi3", "stablelm", "glm4"):
        w.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    scaling = rope["rope_type"]
    if scaling == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    if scaling == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key in ("beta_fast", "beta_slow"):
            if rope.get(key) is not None:
                getattr(w, f"add_rope_scaling_yarn_{key}")(rope[key])
        if rope.get("attention_factor") is not None:
            w.add_rope_scaling_yarn_attn_factor(rope["attention_factor"])
    if scaling == "longrope":
        original = rope["original_max_position_embeddings"]
        grown = math.log(c.max_position_embeddings / original) / math.log(original)
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(math.sqrt(1 + grown))


def _lfm2_ffn(c: Any) -> int:
    size = int(c.intermediate_size)
    if c.block_auto_adjust_ff_dim:
        size = int(c.block_ffn_dim_multiplier * int(2 * size / 3))
        size = -(-size // c.block_multiple_of) * c.block_multiple_of
    return size


def _lfm2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_shortconv_l_cache(c.conv_L_cache)


def _mixtral(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _moe(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_expert_count(c.num_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    if c.model_type == "qwen3_moe":
        w.add_expert_feed_forward_length(c.moe_intermediate_size)


def _phi3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window or 0)


def _gemma2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_attn_logit_softcapping(c.attn_logit_softcapping)
    w.add_final_logit_softcapping(c.final_logit_softcapping)
    w.add_sliding_window(c.sliding_window)


def _gemma3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window)
    if c.final_logit_softcapping:
        w.add_final_logit_softcapping(c.final_logit_softcapping)


def _granitemoe(w: gguf.GGUFWriter, c: Any) -> None:
    granite_scales(w, c)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _granite4(w: gguf.GGUFWriter, c: Any) -> None:
    """The converter is that of hybrid models: it writes their keys for attention layers too."""
    granite_scales(w, c)
    w.add_expert_shared_feed_forward_length(c.shared_intermediate_size)
    w.add_expert_count(0)
    w.add_expert_used_count(0)
    w.add_ssm_conv_kernel(c.mamba_d_conv)
    w.add_ssm_state_size(c.mamba_d_state)
    w.add_ssm_group_count(c.mamba_n_groups)
    w.add_ssm_inner_size(c.mamba_expand * c.hidden_size)
    w.add_ssm_time_step_rank(c.mamba_n_heads)
    w.add_head_count_kv([c.num_key_value_heads] * c.num_hidden_layers)
    w.add_rope_scaling_finetuned(True)


def _ssm(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_ssm_conv_kernel(c.mamba_d_conv)
    w.add_ssm_inner_size(c.mamba_d_ssm)
    w.add_ssm_state_size(c.mamba_d_state)
    w.add_ssm_time_step_rank(c.mamba_n_heads)
    w.add_ssm_group_count(c.mamba_n_groups)


def _stablelm(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_parallel_residual(c.use_parallel_residual)


def _arcee(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)


def _ministral3(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_rope_scaling_yarn_log_mul(c.rope_parameters["mscale_all_dim"])
    w.add_attn_temperature_scale(c.rope_parameters["llama_4_scaling_beta"])


def _hunyuan(w: gguf.GGUFWriter, c: Any) -> None:
    if c.rope_parameters["rope_type"] == "dynamic":
        w.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        w.add_rope_scaling_factor(1)
        w.add_rope_scaling_orig_ctx_len(256 * 1024)


def _gpt_oss(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_sliding_window(c.sliding_window)
    w.add_expert_feed_forward_length(c.intermediate_size)
    w.add_expert_count(c.num_local_experts)
    w.add_expert_used_count(c.num_experts_per_tok)


def _cohere2(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_logit_scale(c.logit_scale)
    w.add_sliding_window(c.sliding_window)
    w.add_vocab_size(c.vocab_size)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def _windowed(w: gguf.GGUFWriter, c: Any) -> None:
    if c.model_type == "exaone4":
        w.add_vocab_size(c.vocab_size)
    if c.sliding_window is not None:
        w.add_sliding_window(c.sliding_window)
        w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])


def _granite_swa(w: gguf.GGUFWriter, c: Any) -> None:
    granite_scales(w, c)
    w.add_sliding_window(c.sliding_window)
    w.add_sliding_window_pattern([kind == "sliding_attention" for kind in c.layer_types])
    if not all(c.layer_rope_theta):
        w.add_array("granite_swa.attention.rope_pattern", [bool(x) for x in c.layer_rope_theta])


def _apertus(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_vocab_size(c.vocab_size)
    w.add_rope_dimension_count(c.hidden_size // c.num_attention_heads)


def _xielu(w: gguf.GGUFWriter, model: Any) -> None:
    """Numbers for each layer, which the converter puts into the metadata."""
    for name in ("alpha_n", "alpha_p", "beta", "eps"):
        values = [getattr(layer.mlp.act_fn, name).item() for layer in model.model.layers]
        getattr(w, f"add_xielu_{name}")(values)


def _bitnet(w: gguf.GGUFWriter, c: Any) -> None:
    w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    w.add_rope_scaling_factor(1.0)


EXTRA: dict[str, Callable[[gguf.GGUFWriter, Any], None]] = {
    "lfm2": _lfm2,
    "mixtral": _mixtral, "qwen3_moe": _moe, "olmoe": _moe, "phi3": _phi3, "gemma2": _gemma2,
    "gemma3_text": _gemma3, "granite": granite_scales, "stablelm": _stablelm, "gpt_oss": _gpt_oss,
    "arcee": _arcee, "ministral3": _ministral3, "hunyuan_v1_dense": _hunyuan,
    "cohere2": _cohere2, "exaone4": _windowed, "olmo3": _windowed, "granitemoehybrid": _granite4,
    "falcon_h1": _ssm, "granite_swa": _granite_swa, "apertus": _apertus, "bitnet": _bitnet,
    "granitemoe": _granitemoe, **gguf_moe.EXTRA,
}  # fmt: skip


def _latent(w: gguf.GGUFWriter, c: Any, old: bool) -> None:
    third = c.model_type == "deepseek_v3"
    whole = c.qk_nope_head_dim + c.qk_rope_head_dim
    w.add_vocab_size(c.vocab_size)
    w.add_leading_dense_block_count(c.first_k_dense_replace)
    if c.q_lora_rank is not None:
        w.add_q_lora_rank(c.q_lora_rank)
    w.add_kv_lora_rank(c.kv_lora_rank)
    w.add_key_length(whole if old else c.kv_lora_rank + c.qk_rope_head_dim)
    w.add_value_length(c.v_head_dim if old else c.kv_lora_rank)
    if not old:
        w.add_key_length_mla(whole)
        w.add_value_length_mla(c.v_head_dim)
        if c.n_group is not None:
            w.add_expert_group_count(c.n_group)
            w.add_expert_group_used_count(c.topk_group)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)
    w.add_expert_count(c.n_routed_experts)
    w.add_expert_used_count(c.num_experts_per_tok)
    w.add_expert_shared_count(c.n_shared_experts)
    w.add_expert_weights_scale(c.routed_scaling_factor)
    if third:
        w.add_expert_weights_norm(True)
    if third or not old:
        gates = gguf.ExpertGatingFuncType
        w.add_expert_gating_func(gates.SIGMOID if third else gates.SOFTMAX)
    w.add_rope_dimension_count(c.qk_rope_head_dim)
    all_dim = c.rope_parameters.get("mscale_all_dim")
    if all_dim is not None:
        w.add_rope_scaling_yarn_log_mul(0.1 * all_dim)
