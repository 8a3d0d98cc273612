"""Gemma 1, 2 and 3 (text): zero-centred norms, scaled embeddings, soft caps, local layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_export.models.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
    RopeConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
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
from llm_export.models.families.rope_by_kind import read_local_and_global
from llm_export.models.families.rope_config import read_rope

if TYPE_CHECKING:
    from torch import Tensor


def _decoder(
    c: ConfigReader, n: Sizes, layers: tuple[LayerConfig, ...], ropes: tuple[RopeConfig, ...],
    softcap: float | None = None,
) -> DecoderConfig:  # fmt: skip
    c.expect("use_bidirectional_attention", None, False, before=None)
    return decoder(
        c, n, layers, ropes=ropes, tied=True, embedding_scale=n.hidden**0.5, logit_softcap=softcap
    )


def gemma_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GemmaConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("gemma", config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    # ``hidden_act: gelu`` of the first configs meant the tanh form, as the later key states.
    own = c.take("hidden_activation", before=None)
    kind = activation(c, "hidden_act", before="gelu_pytorch_tanh")
    if own is not None:
        kind = activation(ConfigReader("gemma", {"hidden_act": own}))
    elif config.get("hidden_act") == "gelu":
        kind = "gelu_tanh"
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias)
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, kind), norm)
    rope = read_rope(c, n.head_dim, n.positions)
    return _decoder(c, n, (layer,) * n.layers, (rope,))


def _capped_attention(c: ConfigReader, n: Sizes) -> AttentionConfig:
    bias = c.flag("attention_bias", before=False)
    return grouped_query(
        n,
        scale=c.number("query_pre_attn_scalar") ** -0.5,
        qkv_bias=bias,
        out_bias=bias,
        softcap=c.optional("attn_logit_softcapping"),
    )


def gemma2_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Gemma2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("gemma2", config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = _capped_attention(c, n)
    ffn = FeedForwardConfig(n.ffn, activation(c, "hidden_activation"))
    c.take_unused("hidden_act", "cache_implementation")
    window = c.count("sliding_window")
    slides = layer_types(c, n.layers, lambda i: i % 2 == 0)
    layers = tuple(
        LayerConfig(replace(attention, window=window if s else None), ffn, norm, kind="sandwich")
        for s in slides
    )
    rope = read_rope(c, n.head_dim, n.positions)
    return _decoder(c, n, layers, (rope,), c.optional("final_logit_softcapping"))


def gemma3_from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Gemma3TextConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader("gemma3_text", config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = replace(_capped_attention(c, n), qk_norm=norm)
    ffn = FeedForwardConfig(n.ffn, activation(c, "hidden_activation"))
    c.take_unused("hidden_act", "cache_implementation")
    window = c.count("sliding_window")
    c.take_unused("_sliding_window_pattern")  # written by transformers, and not read
    pattern = c.take("sliding_window_pattern", before=None) or 6
    slides = layer_types(c, n.layers, lambda i: bool((i + 1) % pattern))
    layers = tuple(
        LayerConfig(
            replace(attention, window=window if s else None, rope=0 if s else 1), ffn, norm,
            kind="sandwich",
        )
        for s in slides
    )  # fmt: skip
    local = c.take("rope_local_base_freq", before=None)
    ropes = read_local_and_global(c, n.head_dim, n.positions, local=1e4 if local is None else local)
    return _decoder(c, n, layers, ropes, c.optional("final_logit_softcapping"))


def _is_norm(name: str) -> bool:
    return name.split(".")[-2].endswith("norm")


def one_plus(name: str, tensor: Tensor, config: DecoderConfig | None = None) -> Tensor:
    """Gemma's norms multiply by 1 + weight, the decoder's by the weight."""
    return tensor.float() + 1 if _is_norm(name) else tensor


def minus_one(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return tensor - 1 if _is_norm(name) else tensor


_TINY = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
}  # fmt: skip
_SANDWICH = (
    hf_names.EMBED + hf_names.ATTENTION + hf_names.SANDWICH_NORM + hf_names.GATED + hf_names.HEAD
)

GEMMA = Family(
    name="gemma",
    architecture="GemmaForCausalLM",
    from_hf=gemma_from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA, ignored=[hf_names.ROTARY_TABLES]),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.gemma},
    tiny=_TINY,
    restore={"hf": one_plus},
    store=minus_one,
)
GEMMA2 = Family(
    name="gemma2",
    architecture="Gemma2ForCausalLM",
    from_hf=gemma2_from_hf,
    keys={"hf": KeyMap(_SANDWICH), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.gemma2},
    tiny={**_TINY, "sliding_window": 8, "layer_types": None},
    restore={"hf": one_plus},
    store=minus_one,
)
GEMMA3 = Family(
    name="gemma3_text",
    architecture="Gemma3ForCausalLM",
    from_hf=gemma3_from_hf,
    keys={"hf": KeyMap(_SANDWICH + hf_names.QK_NORM), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.gemma3},
    tiny={**_TINY, "sliding_window": 8, "layer_types": None, "sliding_window_pattern": 3},
    restore={"hf": one_plus},
    store=minus_one,
)
