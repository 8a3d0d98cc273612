"""Granite 4 without Mamba-2 layers and without experts: Granite with the feed-forward of the shared
expert, with or without RoPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import DecoderConfig
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.granite import scaled_layer
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import (
    attending,
    decoder,
    read_sizes,
)
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.rope_config import read_rope

NAME = "granitemoehybrid"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GraniteMoeHybridConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    c.expect("num_local_experts", 0)
    c.take_unused("num_experts_per_tok")
    c.expect("mlp_bias", False, before=False)
    c.expect("normalization_function", "rmsnorm", before="rmsnorm")
    c.take_unused("init_method")
    layer, scales = scaled_layer(c, replace(n, ffn=c.count("shared_intermediate_size")))
    rotated = c.expect("position_embedding_type", "rope", "nope", None, before=None) == "rope"
    rope = read_rope(c, n.head_dim, n.positions)
    mixers = {"attention": attending(layer, rope=0 if rotated else None)}
    layers = tuple(_layer_of(kind, i, mixers) for i, kind in enumerate(_kinds(c, n.layers)))
    _take_mamba(c)
    return decoder(c, n, layers, ropes=(rope,), **scales)


_ATTENTION = ("attention", "full_attention")
_MAMBA = ("mamba", "linear_attention")


def _kinds(c: ConfigReader, layers: int) -> list[str]:
    """The kind of each layer: attention or mamba, of which a config without the key has only the
    latter.
    """
    stated = c.take("layer_types", before=None)
    other = c.take("layers_block_type", before=None)  # another name of the same key
    stated = other if stated is None else stated
    stated = ["mamba"] * layers if stated is None else stated
    names = dict.fromkeys(_ATTENTION, "attention") | dict.fromkeys(_MAMBA, "mamba")
    listed = isinstance(stated, list | tuple) and len(stated) >= layers
    if not listed or not set(stated) <= set(names):
        raise CheckpointError(
            f"family '{c.family}' does not implement layer_types={excerpt(repr(stated))}",
            where="config key layer_types",
            fix=f"one of {', '.join(names)} for each of {layers} layers",
        )
    return [names[kind] for kind in stated[:layers]]


def _layer_of(kind: str, index: int, mixers: Mapping[str, Any]) -> Any:
    if kind not in mixers:
        raise CheckpointError(
            f"layer {index} is a {kind} layer, which family '{NAME}' does not implement",
            where="config key layer_types",
            fix=f"implemented: {', '.join(mixers)}; model.definition=hf may support the model",
        )
    return mixers[kind]


def _take_mamba(c: ConfigReader) -> None:
    """Keys of Mamba-2 layers, which have no effect without one."""
    c.take_unused(
        "mamba_chunk_size", "mamba_conv_bias", "mamba_d_conv", "mamba_d_head", "mamba_d_state",
        "mamba_expand", "mamba_n_groups", "mamba_n_heads", "mamba_proj_bias", "time_step_limit",
    )  # fmt: skip


FAMILY = Family(
    name=NAME,
    architecture="GraniteMoeHybridForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.COMMON,
                (f"{L}.shared_mlp.output_linear.weight", f"{D}.feed_forward.down.weight"),
            ],
            splits=[
                Split(
                    f"{L}.shared_mlp.input_linear.weight",
                    tuple(f"{D}.feed_forward.gate_up.{x}.weight" for x in ("gate", "up")),
                )
            ],
        ),
        "gguf": gguf_names.COMMON,
    },
    config_from={"gguf": gguf_configs.granitemoehybrid},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "shared_intermediate_size": 96,
        "layer_types": ["attention"] * 2,
    },
)  # fmt: skip
