"""GGUF metadata of each architecture -> the facts of a config.json.

Rules that the file does not hold are llama.cpp's for the architecture
(https://github.com/ggml-org/llama.cpp, ``src/llama-model.cpp``, hyperparameters and graph).
What it never does and some models do (Qwen's windows, say) is left out: then the model option's
word stands, and without one the format's default, which is the same as llama.cpp's rule.
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
    # An architecture llama has no window; the published Mixtrals have none either.
    return _finish(m, facts | {"sliding_window": None})


def qwen2(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m))


def biased(raw: Raw) -> Facts:
    """Architectures of which the tensors say all the rest: Qwen3, OLMo 2."""
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m))


def qwen3_moe(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | _experts(m, normalized=True)
    facts["moe_intermediate_size"] = m.count("expert_feed_forward_length")
    # llama.cpp knows no dense layers between the sparse ones.
    return _finish(m, facts | {"mlp_only_layers": None, "decoder_sparse_step": 1})


def olmoe(raw: Raw) -> Facts:
    m = Metadata(raw)
    return _finish(m, _dense(m) | _biases(m) | _experts(m, normalized=False))


def _experts(m: Metadata, normalized: bool) -> Facts:
    """``normalized``: llama.cpp's rule for the architecture where the file does not say it."""
    m.expect("expert_gating_func", 1)  # softmax
    return {
        "num_experts": m.count("expert_count"),
        "num_experts_per_tok": m.count("expert_used_count"),
        "norm_topk_prob": bool(m.take("expert_weights_norm", before=normalized)),
    }


def smollm3(raw: Raw) -> Facts:
    m = Metadata(raw)
    # Every fourth layer has no RoPE: a rule of llama.cpp, and so in the published model.
    own = {"no_rope_layer_interval": 4, "no_rope_layers": None}
    return _finish(m, _dense(m) | _biases(m, mlp=True) | own)


def phi3(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m)
    # Zero says that there is none. llama.cpp leaves Phi's window out; the models have it.
    facts["sliding_window"] = m.count("attention.sliding_window", before=0) or None
    return _finish(m, facts)


def gemma(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m)
    return _finish(m, facts | {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": None})


def _gemma_scale(facts: Facts, layers_of_27b: int) -> int:
    """The 27B models scale by width by heads, which is not their head size: known by depth."""
    if facts["num_hidden_layers"] == layers_of_27b:
        return int(facts["hidden_size"] // facts["num_attention_heads"])
    return int(facts["head_dim"])


def gemma2(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | {"hidden_activation": "gelu_pytorch_tanh"}
    facts["query_pre_attn_scalar"] = _gemma_scale(facts, 46)
    # Files of before these keys are of models that have these numbers.
    facts["sliding_window"] = m.count("attention.sliding_window", before=4096)
    facts["attn_logit_softcapping"] = m.take("attn_logit_softcapping", before=50.0)
    facts["final_logit_softcapping"] = m.take("final_logit_softcapping", before=30.0)
    return _finish(m, facts | {"layer_types": None})


def gemma3(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m) | {"hidden_activation": "gelu_pytorch_tanh"}
    facts["query_pre_attn_scalar"] = _gemma_scale(facts, 62)
    facts["sliding_window"] = m.count("attention.sliding_window")
    # Every sixth layer is full; the others have a base of their own and are not scaled.
    facts["sliding_window_pattern"] = m.count("attention.sliding_window_pattern", before=6)
    facts["rope_local_base_freq"] = m.take("rope.freq_base_swa", before=10000.0)
    facts["attn_logit_softcapping"] = None
    facts["final_logit_softcapping"] = m.take("final_logit_softcapping", before=None)
    return _finish(m, facts | {"layer_types": None, "_sliding_window_pattern": None})


def granite(raw: Raw) -> Facts:
    m = Metadata(raw)
    # llama.cpp takes this key of Granite for whether there is RoPE at all.
    m.expect("rope.scaling.finetuned", True)
    scales = {
        "attention_multiplier": m.take("attention.scale"),
        "embedding_multiplier": m.take("embedding_scale"),
        "residual_multiplier": m.take("residual_scale"),
        "logits_scaling": m.take("logit_scale"),
    }
    return _finish(m, _dense(m) | _biases(m, mlp=True) | scales)


def stablelm(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = read_common(m, "layer_norm_epsilon")
    facts["layer_norm_eps"] = facts.pop("rms_norm_eps")
    facts["head_dim"] = read_head_dim(m, facts)
    # The key may be true of models that are not parallel; llama.cpp goes by the second norm.
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


def gpt_oss(raw: Raw) -> Facts:
    m = Metadata(raw)
    facts = _dense(m) | _biases(m)
    facts["intermediate_size"] = m.count("expert_feed_forward_length")
    facts["num_local_experts"] = m.count("expert_count")
    facts["num_experts_per_tok"] = m.count("expert_used_count")
    facts["sliding_window"] = m.count("attention.sliding_window")
    if isinstance(facts["rope_scaling"], dict) and facts["rope_scaling"]["rope_type"] == "yarn":
        # A GGUF file does not say it: the ramp of the published models is not rounded.
        facts["rope_scaling"]["truncate"] = False
    # Even layers slide: llama.cpp's rule, and so in the published models.
    return _finish(m, facts | {"layer_types": None})
