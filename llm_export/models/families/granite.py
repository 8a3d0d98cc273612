"""Granite 3: Llama with four multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
)
from llm_export.models.families import gguf_granite, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    read_sizes,
)
from llm_export.models.families.llama_formats import halves_from_pairs

NAME = "granite"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GraniteConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    layer, scales = scaled_layer(c, n)
    return decoder(c, n, (layer,) * n.layers, **scales)


def scaled_layer(c: ConfigReader, n: Sizes) -> tuple[LayerConfig, dict[str, Any]]:
    """A layer of Granite, and the decoder's scales."""
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n, scale=c.number("attention_multiplier", before=1.0), qkv_bias=bias, out_bias=bias
    )
    ffn = FeedForwardConfig(n.ffn, activation(c), c.flag("mlp_bias", before=False))
    residual = c.number("residual_multiplier", before=1.0)
    scales = {
        "embedding_scale": c.number("embedding_multiplier", before=1.0),
        "logit_scale": 1 / c.number("logits_scaling", before=1.0),
    }
    return LayerConfig(attention, ffn, norm, residual_scale=residual), scales


FAMILY = Family(
    name=NAME,
    architecture="GraniteForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_granite.granite},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
