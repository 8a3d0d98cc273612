"""OLMoE: a mixture of experts with QK norms over all heads together."""

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

NAME = "olmoe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``OlmoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    c.expect("clip_qkv", None, before=None)
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=norm,
        qk_norm_over="all",
    )
    c.take_unused("num_local_experts")
    router = RouterConfig(
        "softmax",
        c.count("num_experts"),
        c.count("num_experts_per_tok"),
        c.flag("norm_topk_prob", before=False),
    )
    experts = MoEConfig(router, FeedForwardConfig(n.ffn, activation(c)))
    return decoder(c, n, (LayerConfig(attention, experts, norm),) * n.layers)


FAMILY = Family(
    name=NAME,
    architecture="OlmoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.COMMON + hf_names.QK_NORM
            + hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj")
        ),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.olmoe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 48, "num_experts": 4,
        "num_experts_per_tok": 2,
    },
)  # fmt: skip
