"""Bamba: Mamba-2 mixers, and attention in some layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import DecoderConfig, FeedForwardConfig, LayerConfig, NormConfig
from llm_export.models.families import gguf_granite, hf_names, mamba2_mixer
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope

NAME = "bamba"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``BambaConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm, kind = NormConfig(c.number("rms_norm_eps")), activation(c)
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    inner = int(c.number("mamba_expand", before=2) * n.hidden)
    mixer = mamba2_mixer.read_mixer(c, inner, norm, kind)
    feed_forward = FeedForwardConfig(n.ffn, kind, c.flag("mlp_bias", before=False))
    attends = c.take("attn_layer_indices", before=None) or ()
    layers = tuple(
        LayerConfig(attention, feed_forward, norm) if i in attends
        else LayerConfig(None, feed_forward, norm, mixer=mixer)
        for i in range(n.layers)
    )  # fmt: skip
    c.take_unused("num_logits_to_keep", "z_loss_coefficient")
    # transformers replaces whatever the config says.
    c.take_unused("partial_rotary_factor")
    rope = read_rope(c, n.head_dim, n.positions, partial=0.5)
    return decoder(c, n, layers, ropes=(rope,))


_PAIRS, _SPLITS = mamba2_mixer.names(f"{L}.mamba", f"{D}.mixer")
BODY = [
    *hf_names.EMBED,
    *hf_names.ATTENTION,
    *((a.replace(".mlp.", ".feed_forward."), b) for a, b in hf_names.GATED),
    (f"{L}.input_layernorm.weight", f"{D}.attention_norm.weight"),
    (f"{L}.pre_ff_layernorm.weight", f"{D}.ffn_norm.weight"),
    ("model.final_layernorm.weight", "norm.weight"),
    ("lm_head.weight", "head.weight"),
    *_PAIRS,
]
KEYS = KeyMap(BODY, splits=_SPLITS)

FAMILY = Family(
    name=NAME,
    architecture="BambaForCausalLM",
    from_hf=from_hf,
    keys={"hf": KEYS, "gguf": gguf_granite.HYBRID},
    config_from={"gguf": gguf_granite.bamba},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "attn_layer_indices": [1],
        "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_expand": 2,
    },
)  # fmt: skip
