"""LFM2 with a mixture of experts in all but the first layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import gguf_lfm2, hf_names, lfm2
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope

NAME = "lfm2_moe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Lfm2MoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("norm_eps"))
    attention, mixer = grouped_query(n, qk_norm=norm), lfm2.short_conv(c)
    c.expect("use_expert_bias", True, before=True)
    router = RouterConfig(
        "sigmoid", c.count("num_experts", before=32), c.count("num_experts_per_tok", before=4),
        normalize=c.flag("norm_topk_prob", before=True), eps=1e-6,
        scaling=c.number("routed_scaling_factor", before=1.0), correction=True,
    )  # fmt: skip
    experts = MoEConfig(router, FeedForwardConfig(c.count("moe_intermediate_size"), "silu"))
    dense, first = FeedForwardConfig(n.ffn, "silu"), c.take("num_dense_layers", before=2)
    layers = tuple(
        LayerConfig(attention if attends else None, dense if i < first else experts, norm,
                    mixer=None if attends else mixer)
        for i, attends in enumerate(lfm2.attention_layers(c, n.layers))
    )  # fmt: skip
    rope = read_rope(c, n.head_dim, n.positions, theta=1e6)
    tied = c.take("tie_embedding", before=None)
    read = decoder(c, n, layers, ropes=(rope,), tied=True)
    return read if tied is None else replace(read, tied_embeddings=bool(tied))


FAMILY = Family(
    name=NAME,
    architecture="Lfm2MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.EMBED, *lfm2.ATTENTION, *lfm2.MIXER, *lfm2.FEED_FORWARD, *lfm2.NORMS,
                *hf_names.experts("feed_forward", "w1", "w3", "w2"),
                (f"{L}.feed_forward.expert_bias", f"{D}.feed_forward.router.correction"),
            ],
            splits=lfm2.MIXER_SPLITS,
        ),
        "gguf": gguf_lfm2.NAMES,
    },
    config_from={"gguf": gguf_lfm2.lfm2_moe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "moe_intermediate_size": 48,
        "num_experts": 4, "num_experts_per_tok": 2, "num_dense_layers": 1,
        "layer_types": ["conv", "full_attention", "conv"],
    },
)  # fmt: skip
