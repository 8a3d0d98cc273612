"""OLMo 3: OLMo 2 with a sliding window in most layers; only the other layers' RoPE is scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import (
    attending,
    decoder,
    layer_types,
    read_sizes,
)
from llm_export.models.families.olmo2 import post_norm_layer
from llm_export.models.families.rope_by_kind import read_local_and_global

NAME = "olmo3"
_THETA = 500000.0


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Olmo3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    layer = post_norm_layer(c, n)
    window = c.take("sliding_window", before=None)
    window = None if window is None else c.counted("sliding_window", window)
    slides = layer_types(c, n.layers, lambda i: bool((i + 1) % 4))
    layers = tuple(
        attending(layer, window=window if s else None, rope=0 if s else 1) for s in slides
    )
    _require_told_apart(c)
    ropes = read_local_and_global(c, n.head_dim, n.positions, local=_THETA, full=_THETA)
    return decoder(c, n, layers, ropes=ropes)


def _require_told_apart(c: ConfigReader) -> None:
    """Refuse a base that is not said to be that of all layers: transformers 4 took ``rope_theta``
    for all of them, transformers 5 for the full-attention layers alone.
    """
    theta, stated = c.peek("rope_theta"), c.peek("rope_parameters")
    local = (stated or {}).get("sliding_attention") if isinstance(stated, Mapping | None) else None
    if theta in (None, _THETA) or (isinstance(local, Mapping) and "rope_theta" in local):
        return
    raise CheckpointError(
        f"rope_theta={theta!r} is not said to be the base of sliding_attention layers, of "
        "full_attention layers or of both",
        where="config key rope_theta",
        fix="state rope_parameters with a mapping for sliding_attention and one for full_attention",
    )


FAMILY = Family(
    name=NAME,
    architecture="Olmo3ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.POST_NORMED), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.olmo3},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "sliding_window": 8,
        "layer_types": None,
    },
)  # fmt: skip
