"""Mamba-2 and Nemotron-H in GGUF files: tensor names and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/mamba.py`` and ``conversion/nemotron.py``. The
files do not hold bounds of the step size, which llama.cpp does not have: Mamba-2's published models
have none, and Nemotron-H's lowest step is that of the published models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families import gguf_mixers, gguf_names
from llm_export.models.families.gguf_layers import decoder_layers, first
from llm_export.models.families.gguf_metadata import Metadata, read_common
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.keymap import KeyMap, Split

_F = f"{D}.feed_forward"
_NORM = f"{B}.attn_norm.weight"

MAMBA2 = KeyMap(
    [*gguf_names.ENDS, (_NORM, f"{D}.attention_norm.weight"), *gguf_mixers.PAIRS],
    gguf_mixers.SPLITS,
)

NEMOTRON_H = KeyMap(
    [
        *MAMBA2.pairs, *gguf_names.QKV, *gguf_names.OUT, *gguf_names.ROUTER,
        *((f"{B}.ffn_{x}.{{leaf}}", f"{_F}.{x}.{{leaf}}") for x in ("up", "down")),
        *((f"{B}.ffn_{x}_shexp.{{leaf}}", f"{_F}.shared.{x}.{{leaf}}") for x in ("up", "down")),
    ],
    [
        *gguf_mixers.SPLITS,
        # A layer has one norm, whatever follows it.
        Split(_NORM, (f"{D}.ffn_norm.weight",)),
        *(Split(f"{B}.ffn_{x}_exps.weight", (f"{_F}.experts.{{e}}.{x}.weight",),
                gguf_names.cut_experts, gguf_names.join_experts) for x in ("up", "down")),
    ],
)  # fmt: skip


def mamba2(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    for key in ("attention.head_count", "feed_forward_length"):
        m.expect(key, 0)  # llama.cpp wants these keys, and has no use for them
    mixer = gguf_mixers.read_mixer(m, 0)
    hidden = m.count("embedding_length")
    facts = {
        "vocab_size": m.rows("token_embd.weight"),
        "hidden_size": hidden,
        "num_hidden_layers": m.count("block_count"),
        "max_position_embeddings": m.count("context_length"),
        "layer_norm_epsilon": m.take("attention.layer_norm_rms_epsilon"),
        "num_heads": mixer["mamba_n_heads"], "head_dim": mixer["mamba_d_head"],
        "expand": gguf_mixers.expansion(mixer, hidden),
        "state_size": mixer["mamba_d_state"], "conv_kernel": mixer["mamba_d_conv"],
        "n_groups": mixer["mamba_n_groups"],
        "use_conv_bias": mixer["mamba_conv_bias"], "use_bias": mixer["mamba_proj_bias"],
        "tie_word_embeddings": not m.has("output.weight"),
    }  # fmt: skip
    m.finish()
    return facts


def nemotron_h(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architectures ``nemotron_h`` and ``nemotron_h_moe``."""
    m = Metadata(raw)
    layers = decoder_layers(m)
    sizes = m.per_layer("feed_forward_length")[:layers]
    heads = m.per_layer("attention.head_count_kv")[:layers]
    experts = m.count("expert_count", before=0)
    wide = "moe" if experts else "mlp"
    kinds = [
        "attention" if attends else wide if size else "mamba"
        for attends, size in zip(heads, sizes, strict=True)
    ]
    mixer = gguf_mixers.read_mixer(m, first(kinds, "mamba"))
    common = read_common(m, "layer_norm_epsilon", ffn=max(sizes), blocks=layers)
    head_dim = m.count("attention.key_length")
    m.expect("attention.value_length", head_dim)
    for key in ("rope.freq_base", "rope.dimension_count"):
        m.take(key, before=None)  # there is no RoPE
    facts = {
        **{key: common[key] for key in (
            "vocab_size", "hidden_size", "num_attention_heads", "max_position_embeddings",
            "tie_word_embeddings")},
        "num_key_value_heads": max(heads) or common["num_attention_heads"],
        "head_dim": head_dim,
        "intermediate_size": max(max(sizes), 1),
        "layer_norm_epsilon": common["rms_norm_eps"],
        "layers_block_type": kinds,
        "mamba_num_heads": mixer["mamba_n_heads"], "mamba_head_dim": mixer["mamba_d_head"],
        "ssm_state_size": mixer["mamba_d_state"], "conv_kernel": mixer["mamba_d_conv"],
        "n_groups": mixer["mamba_n_groups"],
        "use_conv_bias": mixer["mamba_conv_bias"], "use_bias": mixer["mamba_proj_bias"],
        "mlp_bias": m.any(r"blk\.\d+\.ffn_down(_shexp)?\.bias"),
    }  # fmt: skip
    facts |= _experts(m, experts) if experts else {}
    m.finish()
    return facts


def _experts(m: Metadata, count: int) -> dict[str, Any]:
    m.expect("moe_latent_size", 0)  # experts in fewer channels, whose tensors have no names here
    return {
        "n_routed_experts": count,
        "num_experts_per_tok": m.count("expert_used_count"),
        "moe_intermediate_size": m.count("expert_feed_forward_length"),
        "moe_shared_expert_intermediate_size": m.count("expert_shared_feed_forward_length"),
        "n_shared_experts": m.count("expert_shared_count", before=1),
        "norm_topk_prob": bool(m.take("expert_weights_norm", before=False)),
        "routed_scaling_factor": m.take("expert_weights_scale", before=1.0),
        "n_group": m.count("expert_group_count", before=1),
        "topk_group": m.count("expert_group_used_count", before=1),
    }
