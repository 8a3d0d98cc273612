"""LFM3: short convolutions, windows in some layers, norms on both sides and a gate per head."""

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
from llm_export.models.families import hf_names, lfm2
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import Sizes, decoder, grouped_query, known_kinds, read_sizes
from llm_export.models.families.lfm3_rope import as_trained
from llm_export.models.families.rope_config import rope_config

NAME = "lfm3"
_KINDS = ("conv", "full_attention", "sliding_attention")
_ROPES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {
        "rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.5,
    },
}  # fmt: skip


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Lfm3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm, mixer = NormConfig(c.number("norm_eps")), lfm2.short_conv(c, taps=7)
    bias = c.flag("attention_bias", before=False)
    gate = "head" if c.flag("use_attention_gate", before=True) else None
    full = grouped_query(n, qkv_bias=bias, out_bias=bias, qk_norm=norm, gate=gate, rope=1)
    window = c.take("sliding_window", before=None)
    slides = replace(
        full, rope=0, window=None if window is None else c.counted("sliding_window", window)
    )
    attentions = {"conv": None, "full_attention": full, "sliding_attention": slides}
    block = "sandwich" if c.flag("use_sandwich_norm", before=True) else "pre"
    feed_forward = FeedForwardConfig(n.ffn, "silu")
    layers = tuple(
        LayerConfig(attentions[kind], feed_forward, norm, kind=block,
                    mixer=mixer if kind == "conv" else None)
        for kind in _layer_kinds(c, n.layers)
    )  # fmt: skip
    return decoder(c, n, layers, ropes=_ropes(c, n), tied=True)


def _layer_kinds(c: ConfigReader, count: int) -> list[str]:
    stated = c.take("layer_types", before=None)
    if stated is None:
        local = ("sliding_attention", "conv", "full_attention", "conv")
        return ["conv", *(local[i % 4] for i in range(1, count))]
    return known_kinds(c, "layer_types", stated, count, _KINDS)


def _ropes(c: ConfigReader, n: Sizes) -> tuple[RopeConfig, RopeConfig]:
    """RoPE of sliding-window layers, then of full-attention layers."""
    stated = c.take("rope_parameters", before=None) or _ROPES
    if not isinstance(stated, Mapping) or not set(_ROPES) <= set(stated):
        raise CheckpointError(
            f"family '{c.family}' needs a RoPE for {' and for '.join(_ROPES)}, got {stated!r}",
            where="config key rope_parameters",
        )
    facts = as_trained(stated)
    first, second = (rope_config(NAME, facts[kind], n.head_dim, n.positions) for kind in _ROPES)
    return first, second


FAMILY = Family(
    name=NAME,
    architecture="Lfm3ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.EMBED, *hf_names.QKV, *hf_names.OUT, *hf_names.QK_NORM, *lfm2.MIXER,
                (f"{L}.self_attn.gate_proj.weight", f"{D}.attention.gate.weight"),
                (f"{L}.post_operator_norm.weight", f"{D}.attention_post_norm.weight"),
                (f"{L}.post_ffn_norm.weight", f"{D}.ffn_post_norm.weight"),
                *lfm2.FEED_FORWARD, *lfm2.NORMS,
            ],
            splits=lfm2.MIXER_SPLITS,
        )
    },
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
        "layer_types": ["conv", "full_attention", "sliding_attention"],
    },
)  # fmt: skip
