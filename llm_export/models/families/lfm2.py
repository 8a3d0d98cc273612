"""LFM2 and LFM2.5 (arXiv:2511.23404): gated short convolutions, and attention in some layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MixerConfig,
    NormConfig,
    ShortConvConfig,
)
from llm_export.models.families import gguf_lfm2, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.conv_names import taps
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import decoder, grouped_query, known_kinds, read_sizes
from llm_export.models.families.rope_config import read_rope

NAME = "lfm2"

_TRAINING = (
    "block_dim", "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale",
    "block_use_swiglu", "block_use_xavier_init", "conv_dim", "conv_dim_out",
    "conv_use_xavier_init", "num_heads", "theta", "use_pos_enc",
)  # fmt: skip
"""Keys of published configs that transformers does not read."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Lfm2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c, ffn_size(c))
    norm = NormConfig(c.number("norm_eps"))
    attention = grouped_query(n, qk_norm=norm)
    mixer = short_conv(c)
    feed_forward = FeedForwardConfig(n.ffn, "silu")
    layers = tuple(
        LayerConfig(attention if attends else None, feed_forward, norm,
                    mixer=None if attends else mixer)
        for attends in attention_layers(c, n.layers)
    )  # fmt: skip
    c.take_unused(*_TRAINING)
    rope = read_rope(c, n.head_dim, n.positions, theta=1e6)
    tied = c.take("tie_embedding", before=None)
    read = decoder(c, n, layers, ropes=(rope,), tied=True)
    return read if tied is None else replace(read, tied_embeddings=bool(tied))


def ffn_size(c: ConfigReader) -> int:
    """``intermediate_size`` (once ``block_ff_dim``), reduced to two thirds and rounded up where
    the config says so.
    """
    size = c.take("block_ff_dim", before=None)
    stated = c.take("intermediate_size", before=None)
    size = c.counted("intermediate_size", stated if size is None else size)
    adjusts = c.flag("block_auto_adjust_ff_dim", before=True)
    factor = c.take("block_ffn_dim_multiplier", before=1.0)
    multiple = c.count("block_multiple_of", before=256)
    if not adjusts:
        return size
    size = int(2 * size / 3)
    if factor is not None:
        size = multiple * -(-int(factor * size) // multiple)
    return size


def short_conv(c: ConfigReader, taps: int = 3) -> MixerConfig:
    """
    Args:
        taps: of a config that does not say.
    """
    kernel = c.count("conv_L_cache", before=taps)
    return ShortConvConfig(kernel, bias=c.flag("conv_bias", before=False))


def attention_layers(c: ConfigReader, count: int) -> list[bool]:
    """Whether each layer has attention; the others have a convolution."""
    kinds, numbers = c.take("layer_types", before=None), c.take("full_attn_idxs", before=None)
    if kinds is None:
        return [numbers is None or i in numbers for i in range(count)]
    kinds = known_kinds(c, "layer_types", kinds, count, ("full_attention", "conv"))
    return [kind == "full_attention" for kind in kinds]


MIXER = [
    (f"{L}.conv.out_proj.{{leaf}}", f"{D}.mixer.out.{{leaf}}"),
    (f"{L}.conv.conv.bias", f"{D}.mixer.conv.bias"),
]
MIXER_SPLITS = [
    Split(f"{L}.conv.in_proj.{{leaf}}", tuple(f"{D}.mixer.{x}.{{leaf}}" for x in "bcx")),
    taps(f"{L}.conv.conv.weight", f"{D}.mixer.conv.weight"),
]
ATTENTION = [
    *hf_names.QKV,
    (f"{L}.self_attn.out_proj.{{leaf}}", f"{D}.attention.out.{{leaf}}"),
    *((f"{L}.self_attn.{x}_layernorm.weight", f"{D}.attention.{x}_norm.weight") for x in "qk"),
]
FEED_FORWARD = [
    (f"{L}.feed_forward.{name}.{{leaf}}", f"{D}.feed_forward.{ours}.{{leaf}}")
    for name, ours in (("w1", "gate_up.gate"), ("w3", "gate_up.up"), ("w2", "down"))
]
NORMS = [
    (f"{L}.operator_norm.weight", f"{D}.attention_norm.weight"),
    (f"{L}.ffn_norm.weight", f"{D}.ffn_norm.weight"),
    ("model.embedding_norm.weight", "norm.weight"),
    ("lm_head.weight", "head.weight"),
]

FAMILY = Family(
    name=NAME,
    architecture="Lfm2ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [*hf_names.EMBED, *ATTENTION, *MIXER, *FEED_FORWARD, *NORMS], splits=MIXER_SPLITS
        ),
        "gguf": gguf_lfm2.NAMES,
    },
    config_from={"gguf": gguf_lfm2.lfm2},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "block_ff_dim": 96,
        "block_multiple_of": 32, "layer_types": ["conv", "full_attention", "conv"],
    },
)  # fmt: skip
