"""Phi-3, Phi-3.5 and Phi-4-mini: fused weights, partial rotary, LongRoPE."""

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

NAME = "phi3"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Phi3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    c.expect("attention_bias", False, before=False)
    c.expect("mlp_bias", False, before=False)
    c.take_unused("full_attn_mod", "interpolate_factor", "lm_head_bias")
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(
        n,
        window=c.take("sliding_window", before=None),
    )
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    rope = read_rope(c, n.head_dim, n.positions, partial=1.0, original=4096)
    return decoder(c, n, (layer,) * n.layers, ropes=(rope,))


FAMILY = Family(
    name=NAME,
    architecture="Phi3ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.EMBED + hf_names.OUT + hf_names.PRE_NORM + hf_names.HEAD + [hf_names.GATED[2]],
            splits=[hf_names.FUSED_QKV, hf_names.FUSED_GATE_UP],
            ignored=[hf_names.ROTARY_TABLES],
        ),
        "gguf": gguf_names.PHI3,
    },
    config_from={"gguf": gguf_configs.phi3},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
