"""Cohere 2 (Command R7B, Tiny Aya): attention and feed-forward in parallel, LayerNorm without bias,
RoPE in sliding-window layers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    activation,
    decoder,
    grouped_query,
    layer_types,
    read_sizes,
)
from llm_export.models.families.llama_formats import halves_from_pairs, pairs_from_halves

NAME = "cohere2"
_PATTERN = 4


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Cohere2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    _require_published_graph(c)
    norm = NormConfig(c.number("layer_norm_eps"), kind="layer")
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    ffn = FeedForwardConfig(n.ffn, activation(c))
    window = c.count("sliding_window")
    pattern = c.count("sliding_window_pattern", before=_PATTERN)
    c.expect("layer_switch", None, pattern, before=None)  # its name before transformers had it
    slides = layer_types(c, n.layers, lambda i: bool((i + 1) % pattern))
    layers = tuple(
        LayerConfig(
            replace(attention, window=window if s else None, rope=0 if s else None),
            ffn,
            norm,
            kind="parallel",
        )
        for s in slides
    )
    return decoder(c, n, layers, tied=True, logit_scale=c.number("logit_scale", before=0.0625))


def _require_published_graph(c: ConfigReader) -> None:
    """Keys of Cohere's own code, which transformers ignores: with other values its model would not
    be the one that was trained.
    """
    for key, value in (
        ("order_of_interleaved_layers", "local_attn_first"),
        ("position_embedding_type", "rope_gptj"),
        ("rotary_pct", 1.0),
        ("use_embedding_sharing", True),
        ("use_gated_activation", True),
        ("use_parallel_block", True),
        ("use_parallel_embedding", False),
        ("use_qk_norm", False),
    ):
        c.expect(key, value, None, before=None)
    c.take_unused("cache_implementation")


FAMILY = Family(
    name=NAME,
    architecture="Cohere2ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.cohere2},
    restore={"hf": halves_from_pairs, "gguf": halves_from_pairs},
    store=pairs_from_halves,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
        "layer_types": None,
    },
)  # fmt: skip
