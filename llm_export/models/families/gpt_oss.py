"""gpt-oss (arXiv:2508.10925): attention sinks, alternating windows, clamped SwiGLU experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Shape, Split
from llm_export.models.families.layers import decoder, grouped_query, layer_types, read_sizes
from llm_export.models.families.rope_config import read_rope

if TYPE_CHECKING:
    from torch import Tensor

NAME = "gpt_oss"
# What a config without any RoPE scaling means.
_YARN = {
    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    "original_max_position_embeddings": 4096,
}  # fmt: skip


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GptOssConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm = NormConfig(c.number("rms_norm_eps"))
    bias = c.flag("attention_bias", before=True)
    c.expect("hidden_act", "silu")
    c.expect("swiglu_alpha", 1.702, before=1.702)
    c.expect("swiglu_limit", 7.0, before=7.0)
    # The first is repeated in rope_scaling, the second in num_experts_per_tok.
    c.take_unused("initial_context_length", "experts_per_token", "num_experts")
    attention = grouped_query(
        n,
        qkv_bias=bias,
        out_bias=bias,
        sinks=True,
    )
    router = RouterConfig(
        "best_softmax", c.count("num_local_experts"), c.count("num_experts_per_tok"),
        normalize=True, bias=True,
    )  # fmt: skip
    experts = MoEConfig(router, FeedForwardConfig(n.ffn, "gpt_oss", bias=True))
    window = c.count("sliding_window")
    slides = layer_types(c, n.layers, lambda i: i % 2 == 0)
    layers = tuple(
        LayerConfig(replace(attention, window=window if s else None), experts, norm) for s in slides
    )
    rope = read_rope(c, n.head_dim, n.positions, theta=150000.0, absent=_YARN)
    return decoder(c, n, layers, ropes=(rope,))


def _cut_gate_up(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[X, D, 2F], gate and up interleaved along the last dimension -> [F, D] each, per expert.

    A bias, [X, 2F], likewise -> [F] each.
    """
    return [part.T if part.dim() == 2 else part
            for expert in tensor for part in (expert[..., ::2], expert[..., 1::2])]  # fmt: skip


def _join_gate_up(tensors: list[Tensor]) -> Tensor:
    import torch

    rows = [t.T if t.dim() == 2 else t for t in tensors]
    together = [
        torch.stack(two, dim=-1).flatten(-2) for two in zip(rows[::2], rows[1::2], strict=True)
    ]
    return torch.stack(together)


def _cut_down(tensor: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """[X, F, D] -> [D, F] per expert; a bias, [X, D] -> [D]."""
    return [expert.T if expert.dim() == 2 else expert for expert in tensor]


def _join_down(tensors: list[Tensor]) -> Tensor:
    import torch

    return torch.stack([t.T if t.dim() == 2 else t for t in tensors])


_EXPERT = f"{D}.feed_forward.experts.{{e}}"


def _expert_splits() -> list[Split]:
    splits = []
    for suffix, leaf in (("", "weight"), ("_bias", "bias")):
        targets = tuple(f"{_EXPERT}.gate_up.{x}.{leaf}" for x in ("gate", "up"))
        splits += [
            Split(f"{L}.mlp.experts.gate_up_proj{suffix}", targets, _cut_gate_up, _join_gate_up),
            Split(f"{L}.mlp.experts.down_proj{suffix}", (f"{_EXPERT}.down.{leaf}",), _cut_down,
                  _join_down),
        ]  # fmt: skip
    return splits


FAMILY = Family(
    name=NAME,
    architecture="GptOssForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.COMMON,
                (f"{L}.self_attn.sinks", f"{D}.attention.sinks"),
                (f"{L}.mlp.router.{{leaf}}", f"{D}.feed_forward.router.gate.{{leaf}}"),
            ],
            splits=_expert_splits(),
        ),
        "gguf": gguf_names.GPT_OSS,
    },
    config_from={"gguf": gguf_configs.gpt_oss},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 48, "sliding_window": 8,
        "num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": None,
    },
)  # fmt: skip
