"""ERNIE 4.5 (dense): Llama that rotates neighbouring channels."""

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
from llm_export.models.families.rotated_pairs import halves, pairs

NAME = "ernie4_5"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Ernie4_5Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("use_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c), bias), norm)
    rope = read_rope(c, n.head_dim, n.positions, theta=5e5)
    return decoder(c, n, (layer,) * n.layers, ropes=(rope,), tied=True)


FAMILY = Family(
    name=NAME,
    architecture="Ernie4_5ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.ernie4_5},
    restore={"hf": halves, "gguf": halves},
    store=pairs,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
