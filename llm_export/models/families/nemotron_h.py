"""Nemotron-H (arXiv:2504.03624), Nemotron Nano 2 and Nemotron 3: layers of one sublayer each, a
Mamba-2 mixer, attention without RoPE, a feed-forward network or experts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import (
    AttentionConfig,
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    Mamba2Config,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import gguf_mamba, mamba2_mixer
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.gguf_names import predicts_further
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import activation, head_counts
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.mamba2 import ENDS, INITIAL, PREFIX

NAME = "nemotron_h"

_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_FORMER = {
    "n_groups": "mamba_n_groups", "conv_kernel": "mamba_d_conv", "use_conv_bias": "mamba_conv_bias",
    "time_step_min": "mamba_dt_min", "head_dim": "attention_head_dim",
}  # fmt: skip
"""Keys -> their names in configs from before transformers had the family."""
_NO_EFFECT = (
    *INITIAL, "chunk_size", "expand", "mamba_chunk_size", "mamba_dt_init_floor", "mamba_dt_limit",
    "mamba_dt_max", "mamba_expand", "mamba_proj_bias", "mamba_ssm_cache_dtype", "norm_eps",
    "mtp_hybrid_override_pattern", "mtp_layers_block_type", "num_hidden_layers",
    "num_logits_to_keep", "num_nextn_predict_layers", "partial_rotary_factor", "residual_in_fp32",
    "rms_norm_eps", "rope_parameters", "rope_scaling", "rope_theta", "time_step_limit",
    "use_mamba_kernels",
)  # fmt: skip
"""Keys that transformers does not read: there is no RoPE, the layers count themselves, and layers
that predict further tokens are for training and speculative decoding.
"""
_EXPERT_KEYS = (
    "moe_intermediate_size", "moe_latent_size", "moe_shared_expert_intermediate_size",
    "moe_shared_expert_overlap", "n_group", "n_routed_experts", "n_shared_experts",
    "norm_topk_prob", "num_experts_per_tok", "num_local_experts", "routed_scaling_factor",
    "topk_group",
)  # fmt: skip


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``NemotronHConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    former = {new: config[old] for new, old in _FORMER.items() if config.get(old) is not None}
    rest = {key: value for key, value in config.items() if key not in _FORMER.values()}
    c = ConfigReader(NAME, rest | former)
    hidden, norm = c.count("hidden_size"), NormConfig(c.number("layer_norm_epsilon", before=1e-5))
    kinds = _kinds(c)
    mlp_bias = c.flag("mlp_bias", before=False)
    kind = activation(c, "mlp_hidden_act", before="relu2")
    size = c.count("intermediate_size", before=21504)
    parts: dict[str, dict[str, Any]] = {
        "mamba": {"mixer": _mixer(c, norm)},
        "attention": {"attention": _attention(c)},
        "mlp": {"feed_forward": FeedForwardConfig(size, kind, mlp_bias, "plain")},
    }
    if "moe" in kinds:
        parts["moe"] = {"feed_forward": _experts(c, kind, mlp_bias)}
    c.take_unused(*_EXPERT_KEYS, *_NO_EFFECT)
    nothing: dict[str, Any] = {"attention": None, "feed_forward": None, "norm": norm}
    result = DecoderConfig(
        family=NAME,
        vocab_size=c.count("vocab_size"),
        hidden_size=hidden,
        max_positions=c.count("max_position_embeddings"),
        tied_embeddings=c.flag("tie_word_embeddings", before=False),
        layers=tuple(LayerConfig(**{**nothing, **parts[kind]}) for kind in kinds),
        ropes=(),
        norm=norm,
    )
    c.finish()
    return result


def _kinds(c: ConfigReader) -> list[str]:
    """The kinds of the layers, from a list or from a string with a letter for each."""
    pattern = c.take("hybrid_override_pattern", before=None)
    for key in ("layers_block_type", "layer_types"):
        stated = c.take(key, before=None)
        if stated is not None:
            return mamba2_mixer.layer_kinds(c, key, stated, len(stated), tuple(_LETTERS.values()))
    if pattern is None:
        c.take("layers_block_type")
    if not pattern or not set(pattern) <= set(_LETTERS):
        raise CheckpointError(
            f"family '{NAME}' does not implement hybrid_override_pattern={excerpt(repr(pattern))}",
            where="config key hybrid_override_pattern",
            fix=f"one of {' '.join(_LETTERS)} for each layer",
        )
    return [_LETTERS[letter] for letter in pattern]


def _mixer(c: ConfigReader, norm: NormConfig) -> Mamba2Config:
    groups, bias = c.count("n_groups", before=8), c.flag("use_bias", before=False)
    return Mamba2Config(
        c.count("mamba_num_heads"), c.count("mamba_head_dim"), c.count("ssm_state_size"), groups,
        c.count("conv_kernel", before=4), conv_bias=c.flag("use_conv_bias", before=True),
        bias=bias, out_bias=bias, step_limits=(c.number("time_step_min", before=0.001), math.inf),
        gate_norm=norm, norm_groups=groups,
        activation=activation(c, "mamba_hidden_act", before="silu"),
    )  # fmt: skip


def _attention(c: ConfigReader) -> AttentionConfig:
    heads, kv_heads = head_counts(c)
    head_dim = c.count("head_dim", before=128)
    c.expect("attention_bias", False, before=False)
    c.expect("sliding_window", None, before=None)
    return AttentionConfig(heads, kv_heads, head_dim, head_dim**-0.5, rope=None)


def _experts(c: ConfigReader, kind: str, bias: bool) -> MoEConfig:
    c.expect("n_shared_experts", 1, before=1)
    former = c.take("num_local_experts", before=None)
    router = RouterConfig(
        "sigmoid", c.count("n_routed_experts", before=former or 8),
        c.count("num_experts_per_tok", before=2), normalize=c.flag("norm_topk_prob", before=True),
        scaling=c.number("routed_scaling_factor", before=1.0), groups=c.count("n_group", before=1),
        groups_per_token=c.count("topk_group", before=1), correction=True,
    )  # fmt: skip
    latent = c.take("moe_latent_size", before=None)
    expert = FeedForwardConfig(c.count("moe_intermediate_size", before=7688), kind, kind="plain")
    shared = c.count("moe_shared_expert_intermediate_size", before=7688)
    return MoEConfig(
        router, expert, FeedForwardConfig(shared, kind, bias, "plain"), latent_bias=bias,
        latent=None if latent is None else c.counted("moe_latent_size", latent),
    )  # fmt: skip


_LAYER, D = f"{PREFIX}.layers.{{i}}", "layers.{i}"
_M, _F = f"{_LAYER}.mixer", f"{D}.feed_forward"
_PAIRS, _SPLITS = mamba2_mixer.names(_M, f"{D}.mixer")
_ATTENTION = [(f"{_M}.{x}_proj.weight", f"{D}.attention.qkv.{x}.weight") for x in "qkv"]
_MATRICES = ("up", "down")

FAMILY = Family(
    name=NAME,
    architecture="NemotronHForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *ENDS, *_PAIRS, *_ATTENTION,
                (f"{_M}.o_proj.weight", f"{D}.attention.out.weight"),
                (f"{_LAYER}.norm.weight", f"{D}.attention_norm.weight"),
                *((f"{_M}.{x}_proj.{{leaf}}", f"{_F}.{x}.{{leaf}}") for x in _MATRICES),
                *((f"{_M}.experts.{{e}}.{x}_proj.weight", f"{_F}.experts.{{e}}.{x}.weight")
                  for x in _MATRICES),
                *((f"{_M}.shared_experts.{x}_proj.{{leaf}}", f"{_F}.shared.{x}.{{leaf}}")
                  for x in _MATRICES),
                (f"{_M}.gate.weight", f"{_F}.router.gate.weight"),
                (f"{_M}.fc1_latent_proj.{{leaf}}", f"{_F}.latent.down.{{leaf}}"),
                (f"{_M}.fc2_latent_proj.{{leaf}}", f"{_F}.latent.up.{{leaf}}"),
                (f"{_M}.gate.e_score_correction_bias", f"{_F}.router.correction"),
            ],
            # A layer has one norm, whatever follows it.
            splits=[*_SPLITS, Split(f"{_LAYER}.norm.weight", (f"{D}.ffn_norm.weight",))],
            ignored=[r"mtp\..*"],
        ),
        "gguf": gguf_mamba.NEMOTRON_H,
    },
    config_from={"gguf": gguf_mamba.nemotron_h},
    # The converter reorders them although there is no RoPE.
    restore={"gguf": halves_from_pairs},
    ignored=predicts_further,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "intermediate_size": 96, "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "mlp", "attention", "mlp"], "mamba_num_heads": 8,
        "mamba_head_dim": 12, "ssm_state_size": 16, "n_groups": 2,
    },
)  # fmt: skip
