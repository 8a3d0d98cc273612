"""Ministral 3: Llama with YaRN, and queries that grow with their position."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
    QueryScale,
    RopeConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope
from llm_export.models.rope_limits import ORIGINAL

NAME = "ministral3"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Ministral3Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    c.take_unused("pretraining_tp")
    attention = grouped_query(n, window=c.take("sliding_window", before=None))
    layer = LayerConfig(attention, FeedForwardConfig(n.ffn, activation(c)), norm)
    own: dict[str, Any] = {}
    rope = read_rope(
        c, n.head_dim, n.positions, absent=_ABSENT, own=lambda facts: _taken(facts, own)
    )
    scale = _query_scale(own, rope)
    return decoder(c, n, (layer,) * n.layers, ropes=(rope,), query_scale=scale)


# What transformers assumes for a config without RoPE settings.
_ABSENT = {
    "rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0,
    "original_max_position_embeddings": 16384, "beta_fast": 32.0, "beta_slow": 1.0,
    "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
}  # fmt: skip
_BETA = "llama_4_scaling_beta"


def _taken(facts: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Move this family's keys of the RoPE mapping to ``own``, and keep the others."""
    own[_BETA] = facts.pop(_BETA, None)
    own[ORIGINAL] = facts.get(ORIGINAL)
    facts.pop("max_position_embeddings", None)  # of the whole model, which the config says too
    return facts


def _query_scale(own: dict[str, Any], rope: RopeConfig) -> QueryScale | None:
    beta, period = own[_BETA], rope.args.get(ORIGINAL, own[ORIGINAL])
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta < inf:
        raise CheckpointError(
            f"config key {_BETA}={beta!r} is not a number from 0",
            where="config key rope_parameters",
            fix="0.1, as in the published models; 0 for queries of one scale",
        )
    if beta == 0:
        return None
    if not isinstance(period, int | float) or not period >= 1:
        raise CheckpointError(
            f"{_BETA} needs {ORIGINAL}, which is {period!r}", where="config key rope_parameters"
        )
    return QueryScale(float(beta), int(period))


FAMILY = Family(
    name=NAME,
    architecture="Ministral3ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KeyMap(hf_names.LLAMA), "gguf": gguf_names.COMMON},
    config_from={"gguf": gguf_configs.ministral3},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
    },
)  # fmt: skip
