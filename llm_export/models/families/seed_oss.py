"""Seed-OSS: Llama with separate biases for queries, keys and values and for the output."""

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

NAME = "seed_oss"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``SeedOssConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    c.take_unused("pretraining_tp")
    attention = grouped_query(
        n,
        qkv_bias=c.flag("attention_bias", before=True),
        out_bias=c.flag("attention_out_bias", before=False),
    )
    ffn = FeedForwardConfig(n.ffn, activation(c), c.flag("mlp_bias", before=False))
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers)


FAMILY = Family(
    name=NAME,
    architecture="SeedOssForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.SEED_OSS},
    config_from={"gguf": gguf_configs.seed_oss},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
