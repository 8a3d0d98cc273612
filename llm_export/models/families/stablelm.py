"""StableLM 2 and StableLM Zephyr: LayerNorm, partial rotary."""

from __future__ import annotations

from collections.abc import Mapping
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
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope

NAME = "stablelm"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``StableLmConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("layer_norm_eps"), kind="layer", bias=True)
    # StableLM 2 12B normalizes each head with a separate weight.
    c.expect("qk_layernorm", False, before=False)
    parallel = c.flag("use_parallel_residual", before=False)
    attention = grouped_query(
        n,
        qkv_bias=c.flag("use_qkv_bias", before=False),
    )
    layer = LayerConfig(
        attention, FeedForwardConfig(n.ffn, activation(c)), norm,
        kind="parallel" if parallel else "pre",
    )  # fmt: skip
    return decoder(
        c, n, (layer,) * n.layers, ropes=(read_rope(c, n.head_dim, n.positions, partial=0.25),)
    )


FAMILY = Family(
    name=NAME,
    architecture="StableLmForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(hf_names.LLAMA, ignored=[hf_names.ROTARY_TABLES]),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.stablelm},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
