"""Config parsing shared by many families."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import AttentionConfig, DecoderConfig, LayerConfig, RopeConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.rope_config import read_rope

_KINDS = ("full_attention", "sliding_attention")

HIDDEN_ACTIVATIONS = {
    "silu": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
}
"""Activation names in configs -> ours."""


def activation(c: ConfigReader, key: str = "hidden_act", before: str | None = None) -> str:
    known = tuple(HIDDEN_ACTIVATIONS)
    value = c.expect(key, *known) if before is None else c.expect(key, *known, before=before)
    return HIDDEN_ACTIVATIONS[value]


@dataclass(frozen=True)
class Sizes:
    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    positions: int


def read_sizes(c: ConfigReader, ffn: int | None = None) -> Sizes:
    """Read the keys that all configs have.

    Args:
        ffn: size of the feed-forward network where it is not ``intermediate_size``.
    """
    hidden = c.count("hidden_size")
    heads, kv_heads = head_counts(c)
    return Sizes(
        vocab=c.count("vocab_size"),
        hidden=hidden,
        layers=c.count("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=c.head_dim(hidden, heads),
        ffn=c.count("intermediate_size") if ffn is None else ffn,
        positions=c.count("max_position_embeddings"),
    )


def head_counts(c: ConfigReader) -> tuple[int, int]:
    """(query heads, key/value heads)."""
    heads = c.count("num_attention_heads")
    value = c.take("num_key_value_heads", before=None)
    return heads, heads if value is None else c.counted("num_key_value_heads", value)


def layer_types(c: ConfigReader, count: int, default: Callable[[int], bool]) -> list[bool]:
    """Whether each layer uses a sliding window.

    Args:
        default: layer number -> whether it has a window, if the config does not say.
    """
    stated = c.take("layer_types", before=None)
    if stated is None:
        return [default(i) for i in range(count)]
    kinds = known_kinds(c, "layer_types", stated, count, _KINDS)
    return [kind == "sliding_attention" for kind in kinds]


def known_kinds(
    c: ConfigReader, key: str, stated: Sequence[Any], count: int, known: Sequence[str]
) -> list[str]:
    """The first ``count`` of the kinds of layers that ``key`` states.

    Raises:
        CheckpointError: a kind is unknown, or there are fewer than layers.
    """
    if len(stated) < count or not set(stated) <= set(known):
        raise CheckpointError(
            f"family '{c.family}' does not implement {key}={excerpt(repr(stated))}",
            where=f"config key {key}",
            fix=f"one of {', '.join(known)} for each of {count} layers",
        )
    return list(stated[:count])


def slide(layer: LayerConfig, window: int | None) -> LayerConfig:
    """The same layer with another attention window."""
    return attending(layer, window=window)


def attending(layer: LayerConfig, **changes: Any) -> LayerConfig:
    """The same layer with other fields of its AttentionConfig."""
    assert layer.attention is not None
    return replace(layer, attention=replace(layer.attention, **changes))


def grouped_query(n: Sizes, **particulars: Any) -> AttentionConfig:
    """Grouped-query attention with the default scale; ``particulars`` are fields of
    AttentionConfig.
    """
    usual = {"scale": n.head_dim**-0.5}
    return AttentionConfig(n.heads, n.kv_heads, n.head_dim, **(usual | particulars))


def decoder(
    c: ConfigReader,
    n: Sizes,
    layers: tuple[LayerConfig, ...],
    *,
    ropes: tuple[RopeConfig, ...] | None = None,
    tied: bool = False,
    **particulars: Any,
) -> DecoderConfig:
    """Build the whole config after all keys except those for tying and RoPE have been read.

    Args:
        ropes: None: one RoPE is read from the config.
        tied: whether embeddings are tied if the config does not say.

    Raises:
        CheckpointError: a key was not read.
    """
    result = DecoderConfig(
        family=c.family,
        vocab_size=n.vocab,
        hidden_size=n.hidden,
        max_positions=n.positions,
        tied_embeddings=c.flag("tie_word_embeddings", before=tied),
        layers=layers,
        ropes=(read_rope(c, n.head_dim, n.positions),) if ropes is None else ropes,
        norm=layers[0].norm,
        **particulars,
    )
    c.finish()
    return result
