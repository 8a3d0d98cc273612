"""StarCoder2: LayerNorm, biases, a plain feed-forward network, a sliding window."""

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

NAME = "starcoder2"

# Keys of GPTBigCode, the config on which the first of these models was based.
_LEFTOVERS = (
    "activation_function", "attention_softmax_in_fp32", "layer_norm_epsilon",
    "scale_attention_softmax_in_fp32", "scale_attn_weights",
)  # fmt: skip


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Starcoder2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("norm_epsilon"), kind="layer", bias=True)
    bias = c.flag("use_bias")
    c.take_unused(*_LEFTOVERS)
    c.expect("mlp_type", "default", before="default")
    c.expect("norm_type", "layer_norm", before="layer_norm")
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        window=c.take("sliding_window", before=None),
    )
    ffn = FeedForwardConfig(n.ffn, activation(c), bias, kind="plain")
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers, tied=True)


_PLAIN_FFN = [
    ("model.layers.{i}.mlp.c_fc.{leaf}", "layers.{i}.feed_forward.up.{leaf}"),
    ("model.layers.{i}.mlp.c_proj.{leaf}", "layers.{i}.feed_forward.down.{leaf}"),
]

FAMILY = Family(
    name=NAME,
    architecture="Starcoder2ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.COMMON + _PLAIN_FFN), "gguf": gguf_names.PLAIN},
    config_from={"gguf": gguf_configs.starcoder2},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "sliding_window": 8,
    },
)  # fmt: skip
