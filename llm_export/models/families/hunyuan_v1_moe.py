"""Hunyuan-A13B: Hunyuan with a mixture of experts, and a network beside it, in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    RouterConfig,
)
from llm_export.models.families import (
    expert_names,
    gguf_moe,
    gguf_names,
    hf_names,
    hunyuan_v1_dense,
)
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, read_sizes
from llm_export.models.families.sparse_layers import chosen_of

NAME = "hunyuan_v1_moe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``HunYuanMoEV1Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n, kind = read_sizes(c), activation(c)
    attention, norm, rope = hunyuan_v1_dense.parts(c, n)
    experts = [c.counted("num_experts", each) for each in _per_layer(c, "num_experts", n.layers)]
    chosen = [c.counted("moe_topk", each) for each in _per_layer(c, "moe_topk", n.layers)]
    # transformers gives experts and the network beside them the size of a dense one.
    for key, only in {"moe_intermediate_size": n.ffn, "num_shared_expert": 1}.items():
        _require_same(c, key, only)
    for key, value in _ONLY.items():
        c.expect(key, value, before=value)
    c.take_unused(*_NO_EFFECT)
    ffn = FeedForwardConfig(n.ffn, kind)
    layers = tuple(
        LayerConfig(attention, MoEConfig(_router(c, of, k), ffn, ffn), norm)
        for of, k in zip(experts, chosen, strict=True)
    )
    return decoder(c, n, layers, ropes=(rope,))


def _router(c: ConfigReader, experts: int, chosen: int) -> RouterConfig:
    return RouterConfig("softmax", experts, chosen_of(c, "moe_topk", chosen, experts), True)


def _per_layer(c: ConfigReader, key: str, layers: int) -> list[Any]:
    """One number for all layers, or a list with one for each."""
    value = c.take(key, before=1)
    found = value if isinstance(value, list) else [value] * layers
    if len(found) < layers:
        raise CheckpointError(
            f"config key {key}={excerpt(repr(value))} has fewer entries than {layers} layers",
            where="model.config",
        )
    return found[:layers]


def _require_same(c: ConfigReader, key: str, only: int) -> None:
    value = c.take(key, before=None)
    stated = value if isinstance(value, list) else [value]
    if any(each not in (None, only) for each in stated):
        raise CheckpointError(
            f"family '{NAME}' does not implement {key}={excerpt(repr(value))}",
            where=f"config key {key}",
            fix=f"implemented: {only}, for every layer",
        )


# Capacity and balance of experts in training.
_NO_EFFECT = (
    "capacity_factor", "moe_drop_tokens", "moe_random_routing_dropped_token",
    "moe_layer_num_skipped",
    "num_local_experts", "num_experts_per_tok", "use_mixed_mlp_moe", "kv_lora_rank", "q_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "group_limited_greedy", "n_group",
    "topk_group", "routed_scaling_factor",
)  # fmt: skip
# Settings of which transformers implements one value.
_ONLY = {"norm_topk_prob": True, "use_mla": False}

FAMILY = Family(
    name=NAME,
    architecture="HunYuanMoEV1ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap([
            *hf_names.COMMON, *hunyuan_v1_dense.NORMS,
            *hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj")[:3],
            *expert_names.shared("mlp.shared_mlp"),
            (f"{L}.mlp.gate.wg.weight", f"{D}.feed_forward.router.gate.weight"),
        ]),
        "gguf": gguf_names.COMMON_SHARED,
    },
    config_from={"gguf": gguf_moe.hunyuan_v1_moe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96, "num_experts": 4,
        "moe_topk": 2,
    },
)  # fmt: skip
