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
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    read_sizes,
)

NAME = "olmo2"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Olmo2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    return decoder(c, n, (post_norm_layer(c, n),) * n.layers)


def post_norm_layer(c: ConfigReader, n: Sizes) -> LayerConfig:
    """A layer of OLMo 2, with full attention."""
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=norm,
        qk_norm_over="all",
    )
    return LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm, kind="post")


FAMILY = Family(
    name=NAME,
    architecture="Olmo2ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.POST_NORMED),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.biased},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
