"""Hunyuan, dense models: norms of queries and keys after RoPE, and a stretched RoPE base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
    RopeConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    read_sizes,
)
from llm_export.models.families.rope_config import read_rope

NAME = "hunyuan_v1_dense"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``HunYuanDenseV1Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    attention, norm, rope = parts(c, n)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    return decoder(c, n, (layer,) * n.layers, ropes=(rope,))


def parts(c: ConfigReader, n: Sizes) -> tuple[AttentionConfig, NormConfig, RopeConfig]:
    """What Hunyuan's dense models and those with experts share."""
    norm = NormConfig(c.number("rms_norm_eps"))
    c.take_unused(*_NO_EFFECT)
    for key, value in _ONLY.items():
        c.expect(key, value, before=value)
    c.expect("attention_head_dim", n.head_dim, None, before=None)
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n, qkv_bias=bias, out_bias=bias, qk_norm=norm, qk_norm_after_rope=True
    )
    rope = read_rope(c, n.head_dim, n.positions, own=lambda facts: _stretched(facts, n.head_dim))
    return attention, norm, rope


def _stretched(facts: dict[str, Any], head_dim: int) -> dict[str, Any]:
    """NTK-aware scaling by a fixed ``alpha``, which only stretches the base: theta * alpha ** (E /
    (E - 2)). Configs call it "dynamic", and hold keys of other scalings, which have no effect.
    """
    alpha = facts.get("alpha")
    if (facts.get("rope_type") or facts.get("type")) != "dynamic" or not alpha:
        return facts
    theta = facts["rope_theta"] * alpha ** (head_dim / (head_dim - 2))
    return {"rope_theta": theta, "partial_rotary_factor": facts["partial_rotary_factor"]}


# Token ids, settings of training, and those of parts that a dense text model does not have.
_NO_EFFECT = (
    "pretraining_tp", "cla_share_factor", "class_num", "dense_list", "eod_token_id", "im_end_id",
    "im_newline_id", "im_start_id", "mask_init_id", "org_vocab_size", "pad_id", "pool_type",
    "text_end_id", "text_start_id",
)  # fmt: skip
# Settings of which transformers implements one value.
_ONLY = {
    "add_classification_head": False, "mlp_bias": False, "norm_type": "rms", "use_cla": False,
    "use_qk_norm": True, "use_rotary_pos_emb": True,
}  # fmt: skip

NORMS = [
    (f"{hf_names.L}.self_attn.query_layernorm.weight", f"{hf_names.D}.attention.q_norm.weight"),
    (f"{hf_names.L}.self_attn.key_layernorm.weight", f"{hf_names.D}.attention.k_norm.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="HunYuanDenseV1ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA + NORMS), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.hunyuan_v1_dense},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
