"""ERNIE 4.5 with a mixture of experts after the first layers, routed by corrected scores."""

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
from llm_export.models.families import expert_names, gguf_moe, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope
from llm_export.models.families.rotated_pairs import halves, pairs
from llm_export.models.families.sparse_layers import chosen_of, multiple

NAME = "ernie4_5_moe"

_NO_EFFECT = (
    "moe_capacity", "moe_use_aux_free", "num_nextn_predict_layers", "num_local_experts",
)  # fmt: skip
"""Settings of training, and layers that predict further tokens."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Ernie4_5_MoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n, kind = read_sizes(c), activation(c, before="silu")
    bias = c.flag("use_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    dense = FeedForwardConfig(n.ffn, kind, bias)
    layer = LayerConfig(attention, dense, NormConfig(c.number("rms_norm_eps")))
    sparse = replace(layer, feed_forward=_mixture(c, kind, bias))
    layers = tuple(sparse if each else layer for each in _sparse(c, n.layers))
    c.expect("moe_gate", "topk", before="topk")
    c.take_unused(*_NO_EFFECT)
    rope = read_rope(c, n.head_dim, n.positions, theta=5e5)
    return decoder(c, n, layers, ropes=(rope,), tied=True, head_bias=bias)


def _mixture(c: ConfigReader, kind: str, bias: bool) -> MoEConfig:
    experts = c.count("moe_num_experts", before=c.take("num_experts", before=64))
    chosen = c.count("moe_k", before=c.take("num_experts_per_tok", before=6))
    router = RouterConfig(
        "softmax", experts, chosen_of(c, "moe_k", chosen, experts), normalize=True,
        floor=c.number("moe_norm_min", before=1e-12), correction=True,
    )  # fmt: skip
    expert = FeedForwardConfig(c.count("moe_intermediate_size", before=1536), kind)
    beside = c.take("moe_num_shared_experts", before=2)
    if not beside:
        return MoEConfig(router, expert)
    times = c.counted("moe_num_shared_experts", beside)
    return MoEConfig(router, expert, replace(multiple(expert, times), bias=bias))


def _sparse(c: ConfigReader, count: int) -> list[bool]:
    """Whether each layer has experts."""
    first, last = (
        c.take("moe_layer_start_index", before=1),
        c.take("moe_layer_end_index", before=-1),
    )
    step = c.count("moe_layer_interval", before=1)
    last = count - 1 if last == -1 else last
    return [(i + 1) % step == 0 and first <= i <= last for i in range(count)]


_CORRECTION = f"{L}.mlp.moe_statics.e_score_correction_bias"
FAMILY = Family(
    name=NAME,
    architecture="Ernie4_5_MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.LLAMA, *hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj"),
                *expert_names.shared("mlp.shared_experts", "{leaf}"),
            ],
            splits=[Split(_CORRECTION, (f"{D}.feed_forward.router.correction",),
                          expert_names.first_row, expert_names.as_row)],
            ignored=[r"model\.mtp_.*"],
        ),
        "gguf": gguf_names.COMMON_SHARED,
    },
    config_from={"gguf": gguf_moe.ernie4_5_moe},
    restore={"hf": halves, "gguf": halves},
    store=pairs,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96, "moe_num_experts": 4,
        "moe_k": 2, "moe_intermediate_size": 48, "moe_num_shared_experts": 1,
    },
)  # fmt: skip
