"""Convert the GGUF metadata of each architecture to config.json keys.

Values that the file does not contain follow llama.cpp's rules for the architecture
(https://github.com/ggml-org/llama.cpp, ``src/llama-model.cpp``, hyperparameters and graph).
Features that llama.cpp ignores but some models use (e.g. Qwen's windows) are left out. The model
option can then state them; otherwise the format's default applies, which equals llama.cpp's rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families.config_values import Unspecified
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_rope import read_rope

Facts = dict[str, Any]
Raw = Mapping[str, Any]


def _dense(m: Metadata) -> Facts:
    facts = read_common(m)
    facts["head_dim"] = read_head_dim(m, facts)
    return facts | read_rope(m, facts["head_dim"])


def _biases(m: Metadata, mlp: bool = False) -> Facts:
    facts = {"attention_bias": m.has("blk.0.attn_q.bias")}
    return facts | {"mlp_bias": m.has("blk.0.ffn_down.bias")} if mlp else facts


def _finish(m: Metadata, facts: Facts) -> Facts:
    m.finish()
    return facts


def _window(published: str) -> Unspecified:
    return Unspecified(
        "GGUF files of this architecture do not hold the attention window", published
    )


def llama(raw: Raw) -> Facts:
    m = Metadata(raw)
    m.expect("expert_count", 0)
    m.expect("expert_used_count", 0)
    return _finish(m, _dense(m) | _biases(m, mlp=True))


def mistral(raw: Raw) -> Facts:
    m = Metadata(raw)
    m.expect("expert_count", 0)
    m.expect("expert_used_count", 0)
    window = _window("null, or 4096 for Mistral 7B v0.1")
    return _finish(m, _dense(m) | {"sliding_window": window})


def mixtral(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m)
    facts["num_local_experts"] = m.count("expert_count")
    facts["num_experts_per_tok"] = m.count("expert_used_count")
    # Architecture llama has no window; the published Mixtral models have none either.
    return _finish(m, facts | {"sliding_window": None})


def qwen2(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m))


def biased(raw: Raw) -> Facts:
    """Architectures whose tensors determine everything else: Qwen3, OLMo 2."""
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m))


def _windowed(m: Metadata, facts: Facts) -> Facts:
    """The window, and which layers have it where the file says so."""
    window = m.count("attention.sliding_window", before=0) or None
    slides = m.take("attention.sliding_window_pattern", before=None)
    kinds = ("full_attention", "sliding_attention")
    types = None if slides is None else [kinds[bool(s)] for s in slides]
    return facts | {"sliding_window": window, "layer_types": types}


def olmo3(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _windowed(m, _dense(m) | _biases(m))
    # llama.cpp's rule: the base is that of all layers, the scaling of those without a window.
    theta, scaling = facts.pop("rope_theta"), facts.pop("rope_scaling")
    facts["rope_parameters"] = {
        "sliding_attention": {"rope_type": "default", "rope_theta": theta},
        "full_attention": {"rope_type": "default", **(scaling or {}), "rope_theta": theta},
    }
    return _finish(m, facts)


def exaone4(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _windowed(m, _dense(m))
    if facts["sliding_window"] is None:
        facts["layer_types"] = ["full_attention"] * facts["num_hidden_layers"]
    # Where it does not say which: every fourth layer has none, by a rule of llama.cpp.
    return _finish(m, facts | {"sliding_window_pattern": 4})


def cohere2(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = read_common(m, "layer_norm_epsilon")
    facts["layer_norm_eps"] = facts.pop("rms_norm_eps")
    facts["head_dim"] = read_head_dim(m, facts)
    facts |= read_rope(m, facts["head_dim"]) | _biases(m)
    facts["logit_scale"] = m.take("logit_scale")
    facts["sliding_window"] = m.count("attention.sliding_window")
    # Every fourth layer has full attention: a rule of llama.cpp.
    return _finish(m, facts | {"sliding_window_pattern": 4, "layer_types": None})


def qwen3_moe(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | _experts(m, normalized=True)
    facts["moe_intermediate_size"] = m.count("expert_feed_forward_length")
    # llama.cpp does not support dense layers between the sparse ones.
    return _finish(m, facts | {"mlp_only_layers": None, "decoder_sparse_step": 1})


def olmoe(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m) | _experts(m, normalized=False))


def _experts(m: Metadata, normalized: bool) -> Facts:
    """``normalized``: llama.cpp's rule for the architecture if the file does not state it."""
    m.expect("expert_gating_func", 1)  # softmax
    return {
        "num_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
        "norm_topk_prob": bool(m.take("expert_weights_norm", before=normalized)),
    }


def smollm3(raw: Raw) -> Facts:
    m = Metadata(raw)
    # Every fourth layer has no RoPE: a rule of llama.cpp that matches the published model.
    own = {"no_rope_layer_interval": 4, "no_rope_layers": None}
    return _finish(m, _dense(m) | _biases(m, mlp=True) | own)


def phi3(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m)
    # Zero means none. llama.cpp ignores Phi's window, but the models have it.
    facts["sliding_window"] = m.count("attention.sliding_window", before=0) or None
    scaling = facts["rope_scaling"]
    if isinstance(scaling, dict) and scaling.get("original_max_position_embeddings"):
        # Phi's config.json states it outside, and there it precedes.
        key = "original_max_position_embeddings"
        facts[key] = scaling[key]
    return _finish(m, facts)


def gemma(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m)
    return _finish(m, facts | {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": None})


def _gemma_scale(facts: Facts, layers_of_27b: int) -> int:
    """The 27B models use hidden size / heads, which differs from their head size; recognized by
    depth.
    """
    if facts["num_hidden_layers"] == layers_of_27b:
        return int(facts["hidden_size"] // facts["num_attention_heads"])
    return int(facts["head_dim"])


def gemma2(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | {"hidden_activation": "gelu_pytorch_tanh"}
    facts["query_pre_attn_scalar"] = _gemma_scale(facts, 46)
    # Files from before these keys are of models with these values.
    facts["sliding_window"] = m.count("attention.sliding_window", before=4096)
    facts["attn_logit_softcapping"] = m.take("attn_logit_softcapping", before=50.0)
    facts["final_logit_softcapping"] = m.take("final_logit_softcapping", before=30.0)
    return _finish(m, facts | {"layer_types": None})


def gemma3(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | {"hidden_activation": "gelu_pytorch_tanh"}
    facts["query_pre_attn_scalar"] = _gemma_scale(facts, 62)
    facts["sliding_window"] = m.count("attention.sliding_window")
    # Every sixth layer has full attention; the others have their own base and no scaling.
    facts["sliding_window_pattern"] = m.count("attention.sliding_window_pattern", before=6)
    facts["rope_local_base_freq"] = m.take("rope.freq_base_swa", before=10000.0)
    facts["attn_logit_softcapping"] = None
    facts["final_logit_softcapping"] = m.take("final_logit_softcapping", before=None)
    return _finish(m, facts | {"layer_types": None, "_sliding_window_pattern": None})


def granite(raw: Raw) -> Facts:
    m = Metadata(raw)
    # The converter of Granite 4 writes keys of hybrid models for those of attention alone, too.
    m.expect("expert_count", 0)
    m.expect("expert_used_count", 0)
    for key in ("conv_kernel", "state_size", "group_count", "inner_size", "time_step_rank"):
        m.take(f"ssm.{key}", before=None)
    m.take("expert_shared_feed_forward_length", before=None)
    return _finish(m, _dense(m) | _biases(m, mlp=True) | granite_scales(m))


def granite_scales(m: Metadata) -> Facts:
    # llama.cpp uses this Granite key as the flag for RoPE.
    m.expect("rope.scaling.finetuned", True)
    return {
        "attention_multiplier": m.take("attention.scale"),
        "embedding_multiplier": m.take("embedding_scale"),
        "residual_multiplier": m.take("residual_scale"),
        "logits_scaling": m.take("logit_scale"),
    }


def lfm2(raw: Raw) -> Facts:
    m = Metadata(raw)
    # Layers without key/value heads have a convolution.
    heads = m.per_layer("attention.head_count_kv")
    facts = read_common(m)
    del facts["hidden_act"]
    facts["norm_eps"] = facts.pop("rms_norm_eps")
    facts["num_key_value_heads"] = max(heads)
    facts["layer_types"] = ["full_attention" if n else "conv" for n in heads]
    facts["conv_L_cache"] = m.count("shortconv.l_cache")
    # The file holds the size that the config's other keys amount to.
    facts |= {"block_ff_dim": None, "block_auto_adjust_ff_dim": False}
    head_dim = read_head_dim(m, facts)
    return _finish(m, facts | {"head_dim": head_dim} | read_rope(m, head_dim))


def granitemoehybrid(raw: Raw) -> Facts:
    """Converters write a model with attention layers alone as architecture granite."""
    facts = granite(raw)
    facts.pop("mlp_bias")
    return facts | {
        "shared_intermediate_size": facts["intermediate_size"],
        "layer_types": ["attention"] * facts["num_hidden_layers"],
        "num_local_experts": 0,
        "position_embedding_type": "rope",
    }


def stablelm(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = read_common(m, "layer_norm_epsilon")
    facts["layer_norm_eps"] = facts.pop("rms_norm_eps")
    facts["head_dim"] = read_head_dim(m, facts)
    # The key may be true for models that are not parallel; llama.cpp checks for the second norm.
    m.take("use_parallel_residual", before=None)
    facts["use_parallel_residual"] = not m.has("blk.0.ffn_norm.weight")
    facts["use_qkv_bias"] = m.has("blk.0.attn_q.bias")
    facts["qk_layernorm"] = m.has("blk.0.attn_q_norm.weight")
    rope = read_rope(m, facts["head_dim"])
    rope.setdefault("partial_rotary_factor", 1.0)
    return _finish(m, facts | rope)


def starcoder2(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = read_common(m, "layer_norm_epsilon")
    facts["norm_epsilon"] = facts.pop("rms_norm_eps")
    facts["head_dim"] = read_head_dim(m, facts)
    facts["use_bias"] = m.has("blk.0.attn_q.bias")
    facts["hidden_act"] = "gelu_pytorch_tanh"
    window = _window("4096, as the published StarCoder2 models have")
    return _finish(m, facts | read_rope(m, facts["head_dim"]) | {"sliding_window": window})


def arcee(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m, mlp=True) | {"hidden_act": "relu2"})


def ernie4_5(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m) | {"use_bias": m.has("blk.0.attn_q.bias")})


def seed_oss(raw: Raw) -> Facts:
    m = Metadata(raw)
    biases = _biases(m, mlp=True) | {"attention_out_bias": m.has("blk.0.attn_output.bias")}
    return _finish(m, _dense(m) | biases)


def glm4(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m)
    # The feed-forward length is that of gate or up alone, as in config.json.
    facts.setdefault("partial_rotary_factor", 1.0)
    return _finish(m, facts)


def hunyuan_v1_dense(raw: Raw) -> Facts:
    # The base is that after its stretching by ``alpha``.
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m))


def ministral3(raw: Raw) -> Facts:
    m = Metadata(raw)
    m.expect("expert_count", 0)
    beta = m.take("attention.temperature_scale")
    all_dim = m.take("rope.scaling.yarn_log_multiplier", before=None)
    facts = _dense(m)
    rope = {"rope_type": "default", **(facts.pop("rope_scaling") or {})}
    rope |= {"rope_theta": facts.pop("rope_theta"), "llama_4_scaling_beta": beta}
    if all_dim:
        rope |= {"mscale": 1.0, "mscale_all_dim": all_dim}
    return _finish(m, facts | {"rope_parameters": rope, "sliding_window": None})


def gpt_oss(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m)
    facts["intermediate_size"] = m.count("expert_feed_forward_length")
    facts["num_local_experts"] = m.count("expert_count")
    facts["num_experts_per_tok"] = m.count("expert_used_count")
    facts["sliding_window"] = m.count("attention.sliding_window")
    if isinstance(facts["rope_scaling"], dict) and facts["rope_scaling"]["rope_type"] == "yarn":
        # GGUF does not store it: the published models do not round the ramp's bounds.
        facts["rope_scaling"]["truncate"] = False
    if facts["rope_scaling"] is None:  # which in a config.json means the published scaling
        theta = facts.pop("rope_theta")
        facts["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    # Even layers use a sliding window: llama.cpp's rule, which matches the published models.
    return _finish(m, facts | {"layer_types": None})
