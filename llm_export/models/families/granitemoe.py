"""Granite 3 with a mixture of experts in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.models.config import DecoderConfig, FeedForwardConfig, MoEConfig, RouterConfig
from llm_export.models.families import expert_names, gguf_moe, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.granite import scaled_layer
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import decoder, read_sizes
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.sparse_layers import chosen_of

NAME = "granitemoe"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GraniteMoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    c.expect("mlp_bias", False, before=False)
    layer, scales = scaled_layer(c, n)
    assert isinstance(layer.feed_forward, FeedForwardConfig)
    experts, key = c.count("num_local_experts", before=8), "num_experts_per_tok"
    chosen = chosen_of(c, key, c.count(key, before=2), experts)
    router = RouterConfig("best_softmax", experts, chosen, normalize=True)
    layer = replace(layer, feed_forward=MoEConfig(router, layer.feed_forward))
    return decoder(c, n, (layer,) * n.layers, **scales)


_MOE = "block_sparse_moe"
ROUTER = (f"{L}.{_MOE}.router.layer.weight", f"{D}.feed_forward.router.gate.weight")
EXPERTS = expert_names.stacked(f"{_MOE}.input_linear.weight", f"{_MOE}.output_linear.weight")

FAMILY = Family(
    name=NAME,
    architecture="GraniteMoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap([*hf_names.COMMON, ROUTER], splits=EXPERTS),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_moe.granitemoe},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
)  # fmt: skip
