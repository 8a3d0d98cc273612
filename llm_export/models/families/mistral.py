"""Mistral 7B and similar models: Llama with a sliding window in all layers."""

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

NAME = "mistral"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``MistralConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    window = c.take("sliding_window", before=None)
    attention = grouped_query(n, window=window)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    return decoder(c, n, (layer,) * n.layers)


FAMILY = Family(
    name=NAME,
    architecture="MistralForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA, ignored=[hf_names.ROTARY_TABLES]),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.mistral},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
    },
)  # fmt: skip
