"""GLM-4.5 and 4.6: grouped-query attention, and a mixture of experts after the first layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
)
from llm_export.models.families import gguf_moe, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.deepseek import EXPERTS, beyond_the_last_layer
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope
from llm_export.models.families.sparse_layers import (
    ONE_GROUP,
    after_dense,
    corrected_router,
    multiple,
)

NAME = "glm4_moe"

_NO_EFFECT = ("num_local_experts", "num_nextn_predict_layers", "num_mtp_layers")
"""Another name of a key, and layers that predict further tokens."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Glm4MoeConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n, kind = read_sizes(c), activation(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(
        n, qkv_bias=c.flag("attention_bias", before=False),
        qk_norm=norm if c.flag("use_qk_norm", before=False) else None,
    )  # fmt: skip
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, kind), norm)
    router = corrected_router(c, **_ROUTER)
    expert = FeedForwardConfig(c.count("moe_intermediate_size"), kind)
    mixture = MoEConfig(router, expert, multiple(expert, c.count("n_shared_experts", before=1)))
    layers = after_dense(c, layer, mixture, n.layers, usual=1)
    c.take_unused(*_NO_EFFECT)
    rope = read_rope(c, n.head_dim, n.positions, partial=0.5)
    return decoder(c, n, layers, ropes=(rope,))


_ROUTER = {"norm_topk_prob": True, "routed_scaling_factor": 1.0, **ONE_GROUP}

FAMILY = Family(
    name=NAME,
    architecture="Glm4MoeForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA + hf_names.QK_NORM + EXPERTS),
        "gguf": gguf_names.GLM4_MOE,
    },
    config_from={"gguf": gguf_moe.glm4_moe},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96,
        "moe_intermediate_size": 32, "n_routed_experts": 8, "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
    },
    ignored=beyond_the_last_layer,
)  # fmt: skip
