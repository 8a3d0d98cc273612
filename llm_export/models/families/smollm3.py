"""SmolLM3: Llama with some layers without RoPE (NoPE, arXiv:2501.18795)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
)
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope

NAME = "smollm3"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``SmolLM3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    c.take_unused("pretraining_tp", "max_window_layers")
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    ffn = FeedForwardConfig(n.ffn, activation(c), c.flag("mlp_bias", before=False))
    interval = c.take("no_rope_layer_interval", before=4)
    stated = c.take("no_rope_layers", before=None)
    # Despite its name, the list contains 1 for layers with RoPE.
    rotated = stated or [int((i + 1) % interval != 0) for i in range(n.layers)]
    on, window = c.flag("use_sliding_window", before=False), c.take("sliding_window", before=None)
    slides = layer_types(c, n.layers, lambda i: on and window is not None and not rotated[i])
    layers = []
    for i in range(n.layers):
        own = replace(
            attention, rope=0 if rotated[i] else None, window=window if on and slides[i] else None
        )
        layers.append(LayerConfig(own, ffn, norm))
    rope = read_rope(c, n.head_dim, n.positions, theta=2e6)
    return decoder(c, n, tuple(layers), ropes=(rope,), tied=True)


FAMILY = Family(
    name=NAME,
    architecture="SmolLM3ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.smollm3},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "no_rope_layers": None,
        "layer_types": None,
    },
)  # fmt: skip
