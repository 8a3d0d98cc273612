"""Llama 2 to 3.2, CodeLlama, TinyLlama, SmolLM 1 and 2, and others of the same shape."""

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
from llm_export.models.families.llama_formats import (
    META_KEYS,
    config_from_meta,
    halves_from_pairs,
)

NAME = "llama"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``LlamaConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    c.take_unused("pretraining_tp")  # product splits in training
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    ffn = FeedForwardConfig(n.ffn, activation(c), c.flag("mlp_bias", before=False))
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers)


GGUF_KEYS = gguf_names.COMMON
HF_KEYS = KeyMap(hf_names.LLAMA, ignored=[hf_names.ROTARY_TABLES])

FAMILY = Family(
    name=NAME,
    architecture="LlamaForCausalLM",
    from_hf=from_hf,
    keys={"hf": HF_KEYS, "gguf": GGUF_KEYS, "meta": META_KEYS},
    config_from={"gguf": gguf_configs.llama, "meta": config_from_meta},
    restore={"gguf": halves_from_pairs, "meta": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 128,
    },
)  # fmt: skip
