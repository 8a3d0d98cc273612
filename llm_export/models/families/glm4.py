"""GLM-4 (0414): norms around both sublayers, and half of each head rotated by neighbouring
channels.
"""

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
from llm_export.models.families.rotated_pairs import halves, pairs

NAME = "glm4"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Glm4Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(n, qkv_bias=c.flag("attention_bias", before=True))
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm, kind="sandwich")
    rope = read_rope(c, n.head_dim, n.positions, partial=0.5)
    return decoder(c, n, (layer,) * n.layers, ropes=(rope,))


_NORMS = [
    (f"{hf_names.L}.input_layernorm.weight", f"{hf_names.D}.attention_norm.weight"),
    (f"{hf_names.L}.post_self_attn_layernorm.weight", f"{hf_names.D}.attention_post_norm.weight"),
    (f"{hf_names.L}.post_attention_layernorm.weight", f"{hf_names.D}.ffn_norm.weight"),
    (f"{hf_names.L}.post_mlp_layernorm.weight", f"{hf_names.D}.ffn_post_norm.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="Glm4ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.EMBED + hf_names.ATTENTION + _NORMS + hf_names.HEAD + [hf_names.GATED[2]],
            splits=[hf_names.FUSED_GATE_UP],
        ),
        "gguf": gguf_names.GLM4,
    },
    config_from={"gguf": gguf_configs.glm4},
    restore={"hf": halves, "gguf": halves},
    store=pairs,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
