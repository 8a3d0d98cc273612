"""Granite SWASH: Granite with attention sinks, sliding windows, and a RoPE base per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import DecoderConfig, RopeConfig
from llm_export.models.families import gguf_granite, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.granite import scaled_layer
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    attending,
    decoder,
    layer_types,
    read_sizes,
)
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope

NAME = "granite_swa"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GraniteSWAConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    layer, scales = scaled_layer(c, n)
    window = c.take("sliding_window", before=None)
    window = None if window is None else c.counted("sliding_window", window)
    slides = layer_types(c, n.layers, lambda i: bool(i % 4))
    places, ropes = _ropes(c, n.layers, read_rope(c, n.head_dim, n.positions))
    layers = tuple(
        attending(layer, sinks=True, window=window if s else None, rope=place)
        for s, place in zip(slides, places, strict=True)
    )
    return decoder(c, n, layers, ropes=ropes, tied=True, **scales)


def _ropes(
    c: ConfigReader, layers: int, usual: RopeConfig
) -> tuple[list[int | None], tuple[RopeConfig, ...]]:
    """(RoPE of each layer, the RoPEs). A layer whose base is 0 has none."""
    thetas = c.take("layer_rope_theta", before=None)
    if thetas is None:
        return [0] * layers, (usual,)
    if not isinstance(thetas, list | tuple) or len(thetas) != layers or not all(map(_base, thetas)):
        raise CheckpointError(
            f"layer_rope_theta={excerpt(repr(thetas))} is not a base for each of {layers} layers",
            where="config key layer_rope_theta",
            fix="one number for each layer, 0 for a layer without RoPE",
        )
    bases = list(dict.fromkeys(float(theta) for theta in thetas if theta)) or [usual.theta]
    places = [bases.index(float(theta)) if theta else None for theta in thetas]
    return places, tuple(replace(usual, theta=base) for base in bases)


def _base(theta: Any) -> bool:
    return isinstance(theta, int | float) and not isinstance(theta, bool) and theta >= 0


FAMILY = Family(
    name=NAME,
    architecture="GraniteSWAForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap([*hf_names.LLAMA, (f"{L}.self_attn.sinks", f"{D}.attention.sinks")]),
        "gguf": gguf_granite.SWA,
    },
    config_from={"gguf": gguf_granite.granite_swa},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
        "layer_types": None, "layer_rope_theta": None,
    },
)  # fmt: skip
