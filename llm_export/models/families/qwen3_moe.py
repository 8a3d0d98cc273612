"""Qwen3 mixture of experts."""

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

NAME = "qwen3_moe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen3MoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    on = c.flag("use_sliding_window", before=False)
    window = c.take("sliding_window", before=None)
    c.take_unused("max_window_layers")
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=norm,
        window=window if on else None,
    )
    kind = activation(c)
    experts = c.take("num_experts", before=None)
    local = c.take("num_local_experts", before=None)
    router = RouterConfig(
        "softmax",
        int(local if experts is None else experts),
        c.count("num_experts_per_tok"),
        c.flag("norm_topk_prob", before=False),
    )
    sparse = MoEConfig(router, FeedForwardConfig(c.count("moe_intermediate_size"), kind))
    dense = FeedForwardConfig(n.ffn, kind)
    step, only = c.count("decoder_sparse_step", before=1), c.take("mlp_only_layers", before=None)
    layers = tuple(
        LayerConfig(attention, dense if i in (only or []) or (i + 1) % step else sparse, norm)
        for i in range(n.layers)
    )
    return decoder(c, n, layers)


FAMILY = Family(
    name=NAME,
    architecture="Qwen3MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.LLAMA + hf_names.QK_NORM
            + hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj")
        ),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.qwen3_moe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "num_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 48,
    },
)  # fmt: skip
