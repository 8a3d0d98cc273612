"""EXAONE 4: norms after the sublayers and on queries and keys; models with sliding-window layers
have RoPE in those only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError, excerpt
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

NAME = "exaone4"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Exaone4Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    attention = grouped_query(n, qk_norm=norm)
    ffn = FeedForwardConfig(n.ffn, activation(c))
    window, slides = _windows(c, n.layers)
    layers = tuple(
        LayerConfig(
            replace(
                attention,
                window=window if s else None,
                rope=0 if s or window is None else None,
            ),
            ffn,
            norm,
            kind="post",
        )
        for s in slides
    )
    return decoder(c, n, layers)


def _windows(c: ConfigReader, layers: int) -> tuple[int | None, list[bool]]:
    """The window, and which layers have it. Without one, all layers are full and rotated."""
    window = c.take("sliding_window", before=None)
    pattern = c.take("sliding_window_pattern", before=None)
    if window is None:
        return None, layer_types(c, layers, lambda i: False)
    stated = c.peek("layer_types") is not None
    if not stated and (isinstance(pattern, bool) or not isinstance(pattern, int) or pattern < 1):
        raise CheckpointError(
            f"sliding_window_pattern={excerpt(repr(pattern))} does not say which layers have the "
            "window",
            where="model.config",
            fix="state layer_types: sliding_attention or full_attention for each layer",
        )
    slides = layer_types(c, layers, lambda i: bool((i + 1) % pattern))
    return c.counted("sliding_window", window), slides


FAMILY = Family(
    name=NAME,
    architecture="Exaone4ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.POST_NORMED), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.exaone4},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "sliding_window": 8,
        "sliding_window_pattern": 4, "layer_types": None,
    },
)  # fmt: skip
