"""Qwen2 and Qwen2.5: Llama with biases on q, k and v."""

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
    activation,
    decoder,
    grouped_query,
    layer_types,
    read_sizes,
    slide,
)

NAME = "qwen2"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(n, qkv_bias=True)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    return decoder(c, n, qwen_windows(c, layer, n.layers))


def qwen_windows(c: ConfigReader, layer: LayerConfig, count: int) -> tuple[LayerConfig, ...]:
    """Layers from ``max_window_layers`` on use the sliding window, if enabled."""
    on = c.flag("use_sliding_window", before=False)
    window = c.take("sliding_window", before=None) if on else None
    stated = c.take("max_window_layers", before=None)
    first = count if stated is None else stated
    slides = layer_types(c, count, lambda i: i >= first)
    if not on:
        c.take_unused("sliding_window")
    return tuple(slide(layer, window if slides[i] else None) for i in range(count))


FAMILY = Family(
    name=NAME,
    architecture="Qwen2ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA, ignored=[hf_names.ROTARY_TABLES]),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.qwen2},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
