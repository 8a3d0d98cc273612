"""BitNet b1.58 (arXiv:2504.12285): norms within both sublayers, and a squared ReLU as the gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope

NAME = "bitnet"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``BitNetConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias, out_norm=norm)
    ffn = FeedForwardConfig(n.ffn, activation(c, before="relu2"), inner_norm=norm)
    rope = read_rope(c, n.head_dim, n.positions, theta=5e5)
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers, ropes=(rope,))


_INNER_NORMS = [
    (f"{hf_names.L}.self_attn.attn_sub_norm.weight", f"{hf_names.D}.attention.out_norm.weight"),
    (f"{hf_names.L}.mlp.ffn_sub_norm.weight", f"{hf_names.D}.feed_forward.inner_norm.weight"),
]

_GGUF_NORMS = [
    (f"{gguf_names.B}.attn_sub_norm.weight", f"{gguf_names.D}.attention.out_norm.weight"),
    (f"{gguf_names.B}.ffn_sub_norm.weight", f"{gguf_names.D}.feed_forward.inner_norm.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="BitNetForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA + _INNER_NORMS),
        "gguf": KeyMap(gguf_names.COMMON.pairs + _GGUF_NORMS, ignored=gguf_names.TABLES),
    },
    config_from={"gguf": gguf_configs.bitnet},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
