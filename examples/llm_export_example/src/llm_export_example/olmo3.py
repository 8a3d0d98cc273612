"""OLMo 3: OLMo 2 with sliding layers, and a RoPE that is scaled in the full ones only.

Facts only: every part is one of llm_export's components.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
    RopeConfig,
)
from llm_export.models.families import hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    layer_types,
    read_sizes,
)
from llm_export.models.families.rope_config import rope_config

NAME = "olmo3"
_KINDS = ("sliding_attention", "full_attention")
"""In the order of the decoder's RoPEs."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Olmo3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    window = c.count("sliding_window")
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias, qk_norm=norm, qk_norm_over="all")
    ffn = FeedForwardConfig(n.ffn, activation(c))
    slides = layer_types(c, n.layers, lambda i: bool((i + 1) % 4))
    layers = tuple(
        LayerConfig(
            replace(attention, window=window if s else None, rope=0 if s else 1), ffn, norm,
            kind="post",
        )
        for s in slides
    )  # fmt: skip
    return decoder(c, n, layers, ropes=_ropes(c, n))


def _ropes(c: ConfigReader, n: Sizes) -> tuple[RopeConfig, ...]:
    """transformers 5 states one RoPE a kind of layer; before, the scaling was of full layers."""
    stated = c.take("rope_parameters", before=None)
    theta, scaling = c.take("rope_theta", before=5e5), c.take("rope_scaling", before=None)
    if stated is None:
        stated = {kind: {"rope_theta": theta} for kind in _KINDS}
        stated["full_attention"] = {"rope_theta": theta, **(scaling or {})}
    if set(stated) != set(_KINDS):
        raise CheckpointError(
            f"family '{c.family}' needs a RoPE for sliding and for full attention",
            where="config key rope_parameters",
        )
    return tuple(rope_config(c.family, stated[kind], n.head_dim, n.positions) for kind in _KINDS)


_POST_NORM = [
    ("model.layers.{i}.post_attention_layernorm.weight", "layers.{i}.attention_post_norm.weight"),
    ("model.layers.{i}.post_feedforward_layernorm.weight", "layers.{i}.ffn_post_norm.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="Olmo3ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            hf_names.EMBED + hf_names.ATTENTION + hf_names.QK_NORM + _POST_NORM
            + hf_names.GATED + hf_names.HEAD
        )
    },
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 128, "sliding_window": 8,
        "layer_types": None,
    },
)  # fmt: skip
