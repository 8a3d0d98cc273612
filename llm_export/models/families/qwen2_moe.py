"""Qwen1.5-MoE and Qwen2 mixture of experts: a gated network beside the experts."""

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
from llm_export.models.families import expert_names, gguf_moe, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    activation,
    attending,
    decoder,
    grouped_query,
    layer_types,
    read_sizes,
)
from llm_export.models.families.sparse_layers import chosen_of, every

NAME = "qwen2_moe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen2MoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n, kind = read_sizes(c), activation(c)
    experts, key = c.count("num_experts", before=60), "num_experts_per_tok"
    chosen = chosen_of(c, key, c.count(key, before=4), experts)
    router = RouterConfig("softmax", experts, chosen, c.flag("norm_topk_prob", before=False))
    mixture = MoEConfig(
        router, FeedForwardConfig(c.count("moe_intermediate_size", before=1408), kind),
        FeedForwardConfig(c.count("shared_expert_intermediate_size", before=5632), kind),
        shared_gate=True,
    )  # fmt: skip
    c.take_unused("num_local_experts")
    attention = grouped_query(n, qkv_bias=c.flag("qkv_bias", before=True))
    norm = NormConfig(c.number("rms_norm_eps"))
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, kind), norm)
    layers = every(c, layer, mixture, n.layers)
    windows = _windows(c, n.layers)
    layers = tuple(attending(x, window=w) for x, w in zip(layers, windows, strict=True))
    return decoder(c, n, layers)


def _windows(c: ConfigReader, count: int) -> list[int | None]:
    """The window of each layer: if enabled, that of every other layer below
    ``max_window_layers``.
    """
    on = c.flag("use_sliding_window", before=False)
    window = c.take("sliding_window", before=None)
    below = c.take("max_window_layers", before=28)
    slides = layer_types(c, count, lambda i: i % 2 == 0 and i < (below or count))
    return [window if on and each else None for each in slides]


EXPERTS = [
    *hf_names.experts("mlp", "gate_proj", "up_proj", "down_proj"),
    *expert_names.shared("mlp.shared_expert"),
    (f"{L}.mlp.shared_expert_gate.weight", f"{D}.feed_forward.shared_gate.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="Qwen2MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap([*hf_names.LLAMA, *EXPERTS], ignored=[hf_names.ROTARY_TABLES]),
        "gguf": gguf_names.COMMON_SHARED,
    },
    config_from={"gguf": gguf_moe.qwen2_moe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "num_experts": 4,
        "num_experts_per_tok": 2, "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 64,
    },
)  # fmt: skip
