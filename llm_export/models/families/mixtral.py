"""Mixtral: Mistral with a mixture of experts in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope

NAME = "mixtral"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``MixtralConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(
        n,
        window=c.take("sliding_window", before=None),
    )
    c.take_unused("num_experts")
    router = RouterConfig(
        "softmax", c.count("num_local_experts"), c.count("num_experts_per_tok"), normalize=True
    )
    experts = MoEConfig(router, FeedForwardConfig(n.ffn, activation(c)))
    return decoder(
        c,
        n,
        (LayerConfig(attention, experts, norm),) * n.layers,
        ropes=(read_rope(c, n.head_dim, n.positions, theta=1e6),),
    )


FAMILY = Family(
    name=NAME,
    architecture="MixtralForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.COMMON + hf_names.experts("block_sparse_moe", "w1", "w3", "w2")),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.mixtral},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "num_local_experts": 4,
    },
)  # fmt: skip
