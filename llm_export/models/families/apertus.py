"""Apertus: norms on queries and keys, and a feed-forward without a gate whose activation is learned
(xIELU).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import decoder, grouped_query, read_sizes
from llm_export.models.families.rope_config import read_rope

if TYPE_CHECKING:
    from torch import Tensor

NAME = "apertus"
# What a config without any RoPE settings means.
_ROPE = {
    "rope_type": "llama3", "rope_theta": 12e6, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``ApertusConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    # Keys of the training code, which transformers ignores.
    c.expect("qk_norm", True, before=True)
    c.expect("post_norm", False, before=False)
    c.expect("mlp_bias", False, before=False)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(n, qkv_bias=bias, out_bias=bias, qk_norm=norm)
    ffn = FeedForwardConfig(n.ffn, c.expect("hidden_act", "xielu", before="xielu"), kind="plain")
    rope = read_rope(c, n.head_dim, n.positions, theta=12e6, absent=_ROPE)
    return decoder(c, n, (LayerConfig(attention, ffn, norm),) * n.layers, ropes=(rope,))


_LARGEST_EPS = 1e-4


def _to_model(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The decoder holds softplus of the two learned numbers, and all four as vectors of one.

    Raises:
        CheckpointError: eps is more than the guard against cancellation for which it is there.
    """
    if ".activation." not in name:
        return tensor
    value = tensor.float().reshape(1)
    if name.endswith("eps") and not -_LARGEST_EPS <= float(value) <= 0:
        raise CheckpointError(
            f"xIELU with eps={float(value):g} is not implemented",
            where=f"parameter {name}",
            fix=f"eps is between {-_LARGEST_EPS:g} and 0 in all published models",
        )
    return _softplus(value) if ".alpha_" in name else value


def _to_checkpoint(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    if ".activation." not in name:
        return tensor
    if ".alpha_" in name:  # the inverse of softplus
        return tensor + (-(-tensor).expm1()).log()
    return tensor.reshape(())


def _softplus(tensor: Tensor) -> Tensor:
    from torch.nn import functional as F

    return F.softplus(tensor)


_XIELU = [
    (f"{gguf_names.B}.xielu.{x}", f"{D}.feed_forward.activation.{x}")
    for x in ("alpha_p", "alpha_n", "beta", "eps")
]
"""GGUF files have these in their metadata; the checkpoint gives them as tensors."""

FAMILY = Family(
    name=NAME,
    architecture="ApertusForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.EMBED, *hf_names.ATTENTION, *hf_names.QK_NORM, *hf_names.HEAD,
                (f"{L}.attention_layernorm.weight", f"{D}.attention_norm.weight"),
                (f"{L}.feedforward_layernorm.weight", f"{D}.ffn_norm.weight"),
                *((f"{L}.mlp.{x}_proj.weight", f"{D}.feed_forward.{x}.weight")
                  for x in ("up", "down")),
                *((f"{L}.mlp.act_fn.{x}", f"{D}.feed_forward.activation.{x}")
                  for x in ("alpha_p", "alpha_n", "beta", "eps")),
            ]
        ),
        "gguf": KeyMap(
            [*gguf_names.PLAIN.pairs, *gguf_names.QK_NORM, *_XIELU], ignored=gguf_names.TABLES
        ),
    },
    config_from={"gguf": gguf_configs.apertus},
    restore={"hf": _to_model, "gguf": _to_model},
    store=_to_checkpoint,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96,
    },
)  # fmt: skip
