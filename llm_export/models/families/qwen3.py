"""Qwen3: norms on queries and keys, and an independent head size."""

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
from llm_export.models.families.qwen2 import qwen_windows

NAME = "qwen3"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=norm,
    )
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    return decoder(c, n, qwen_windows(c, layer, n.layers))


FAMILY = Family(
    name=NAME,
    architecture="Qwen3ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA + hf_names.QK_NORM), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.biased},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
