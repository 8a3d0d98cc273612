"""Arcee AFM: Llama whose feed-forward network has a squared ReLU and no gate."""

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
from llm_export.models.families.llama_formats import halves_from_pairs

NAME = "arcee"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``ArceeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    ffn = FeedForwardConfig(
        n.ffn, activation(c, before="relu2"), c.flag("mlp_bias", before=False), kind="plain"
    )
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers)


FAMILY = Family(
    name=NAME,
    architecture="ArceeForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.COMMON + hf_names.PLAIN), "gguf": gguf_names.PLAIN},
    config_from={"gguf": gguf_configs.arcee},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
