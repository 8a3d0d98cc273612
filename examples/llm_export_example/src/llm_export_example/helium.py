"""Helium (Kyutai): Llama whose RoPE rotates neighbouring channels.

Facts only: every part is one of llm_export's components.
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
from llm_export.models.families import hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.llama_formats import halves_from_pairs, pairs_from_halves

NAME = "helium"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``HeliumConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(n, qkv_bias=c.flag("attention_bias", before=False))
    ffn = FeedForwardConfig(n.ffn, activation(c), c.flag("mlp_bias", before=False))
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers)


FAMILY = Family(
    name=NAME,
    architecture="HeliumForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA)},
    restore={"hf": halves_from_pairs},  # the decoder pairs channel i with i + E/2
    store=pairs_from_halves,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 128,
    },
)  # fmt: skip
