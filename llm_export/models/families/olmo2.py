"""OLMo 2: norms after the sublayers, and QK norms over all heads together."""

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

NAME = "olmo2"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Olmo2Config`` as dict -> DecoderConfig.

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
        qk_norm_over="all",
    )
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm, kind="post")
    return decoder(c, n, (layer,) * n.layers)


_POST_NORM = [
    ("model.layers.{i}.post_attention_layernorm.weight", "layers.{i}.attention_post_norm.weight"),
    ("model.layers.{i}.post_feedforward_layernorm.weight", "layers.{i}.ffn_post_norm.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="Olmo2ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.EMBED + hf_names.ATTENTION + hf_names.QK_NORM + _POST_NORM
            + hf_names.GATED + hf_names.HEAD
        ),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.biased},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
