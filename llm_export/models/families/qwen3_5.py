"""Qwen3.5, text: gated delta nets, and gated attention in every fourth layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    GatedDeltaConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
)
from llm_export.models.families import gguf_qwen3_5, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.conv_names import taps
from llm_export.models.families.gemma import minus_one, one_plus
from llm_export.models.families.gguf_names import predicts_further
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    known_kinds,
    read_sizes,
)
from llm_export.models.families.rope_config import read_rope

if TYPE_CHECKING:
    from torch import Tensor

NAME = "qwen3_5_text"

_MROPE = ("mrope_section", "mrope_interleaved")
"""How positions in images are split over channels; text has the same position in all of them."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Qwen3_5TextConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    return hybrid(c, n, FeedForwardConfig(n.ffn, activation(c)))


def hybrid(c: ConfigReader, n: Sizes, feed_forward: FeedForwardConfig | MoEConfig) -> DecoderConfig:
    """Gated delta nets, and gated attention in some layers, with ``feed_forward`` in all."""
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n, qkv_bias=bias, out_bias=bias, qk_norm=norm, gate="channel", gate_bias=bias
    )
    mixer = GatedDeltaConfig(
        key_heads=c.count("linear_num_key_heads"),
        value_heads=c.count("linear_num_value_heads"),
        key_dim=c.count("linear_key_head_dim"),
        value_dim=c.count("linear_value_head_dim"),
        kernel=c.count("linear_conv_kernel_dim"),
        norm=norm,
    )
    layers = tuple(
        LayerConfig(attention if attends else None, feed_forward, norm,
                    mixer=None if attends else mixer)
        for attends in _attention_layers(c, n.layers)
    )  # fmt: skip
    # Of the training: the layers that predict further tokens, and what they share.
    c.take_unused("mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mamba_ssm_dtype")
    c.expect("attn_output_gate", True, before=True)
    rope = read_rope(c, n.head_dim, n.positions, partial=0.25, inert=_MROPE)
    return decoder(c, n, layers, ropes=(rope,))


def _attention_layers(c: ConfigReader, count: int) -> list[bool]:
    """Whether each layer has attention; the others have a delta net."""
    kinds = c.take("layer_types", before=None)
    interval = c.take("full_attention_interval", before=None)
    if kinds is None:
        every = 4 if interval is None else c.counted("full_attention_interval", interval)
        return [(i + 1) % every == 0 for i in range(count)]
    known = ("full_attention", "linear_attention")
    return [k == "full_attention" for k in known_kinds(c, "layer_types", kinds, count, known)]


def _zero_centred(name: str) -> bool:
    """The norms of attention and blocks multiply by 1 + weight, those of delta nets by weight."""
    return not name.endswith("mixer.norm.weight")


def restore(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return one_plus(name, tensor, config) if _zero_centred(name) else tensor


def store(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return minus_one(name, tensor, config) if _zero_centred(name) else tensor


_JOINT = re.compile(r"\.(q_proj|attn_q)\.")


def arrange(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The joint projection of queries and gates holds both head by head: all queries first."""
    return _turned(tensor, -1, 2, config) if _JOINT.search(name) else tensor


def disarrange(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    return _turned(tensor, 2, -1, config) if ".q_proj." in name else tensor


def _turned(tensor: Tensor, first: int, second: int, config: DecoderConfig) -> Tensor:
    e = config.attentions[0].head_dim
    parts = tensor.reshape(first, second, e, *tensor.shape[1:])
    return parts.transpose(0, 1).reshape(tensor.shape).contiguous()


_LINEAR = f"{L}.linear_attn"
_MIXER = [
    (f"{_LINEAR}.in_proj_qkv.weight", f"{D}.mixer.qkv.weight"),
    (f"{_LINEAR}.in_proj_z.weight", f"{D}.mixer.gate.weight"),
    (f"{_LINEAR}.in_proj_b.weight", f"{D}.mixer.beta.weight"),
    (f"{_LINEAR}.in_proj_a.weight", f"{D}.mixer.decay.weight"),
    (f"{_LINEAR}.A_log", f"{D}.mixer.A_log"),
    (f"{_LINEAR}.dt_bias", f"{D}.mixer.dt_bias"),
    (f"{_LINEAR}.norm.weight", f"{D}.mixer.norm.weight"),
    (f"{_LINEAR}.out_proj.weight", f"{D}.mixer.out.weight"),
]
_KV = [(f"{L}.self_attn.{x}_proj.{{leaf}}", f"{D}.attention.qkv.{x}.{{leaf}}") for x in "kv"]
SPLITS = [
    taps(f"{_LINEAR}.conv1d.weight", f"{D}.mixer.conv.weight"),
    Split(
        f"{L}.self_attn.q_proj.{{leaf}}",
        (f"{D}.attention.qkv.q.{{leaf}}", f"{D}.attention.gate.{{leaf}}"),
    ),
]

LAYERS = [*hf_names.EMBED, *_KV, *hf_names.OUT, *hf_names.QK_NORM, *_MIXER, *hf_names.PRE_NORM,
          *hf_names.HEAD]  # fmt: skip
IGNORED = [r"mtp\..*"]

FAMILY = Family(
    name=NAME,
    architecture="Qwen3_5ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap([*LAYERS, *hf_names.GATED], splits=SPLITS, ignored=IGNORED),
        "gguf": gguf_qwen3_5.NAMES,
    },
    config_from={"gguf": gguf_qwen3_5.qwen3_5},
    restore={"hf": restore, "gguf": gguf_qwen3_5.grouped},
    store=store,
    arrange={"hf": arrange, "gguf": arrange},
    disarrange=disarrange,
    ignored=predicts_further,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16,
        "linear_value_head_dim": 8, "layer_types": [
            "linear_attention", "full_attention", "linear_attention"],
    },
)  # fmt: skip
