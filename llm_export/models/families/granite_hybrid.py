"""Granite 4: Mamba-2 mixers or attention, then a feed-forward network, with or without experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import (
    DecoderConfig,
    FeedForwardConfig,
    LayerConfig,
    MoEConfig,
    NormConfig,
    RouterConfig,
)
from llm_export.models.families import gguf_configs, gguf_names, hf_names, mamba2_mixer
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.hf_names import D, L
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import (
    Sizes,
    activation,
    decoder,
    grouped_query,
    read_sizes,
)
from llm_export.models.families.llama_formats import halves_from_pairs
from llm_export.models.families.stacked_experts import stacked_experts

NAME = "granitemoehybrid"


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``GraniteMoeHybridConfig`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm, kind = NormConfig(c.number("rms_norm_eps")), activation(c)
    rotates = c.expect("position_embedding_type", "rope", "nope", None, before=None) == "rope"
    bias = c.flag("attention_bias", before=False)
    attention = grouped_query(
        n, scale=c.number("attention_multiplier", before=1.0), qkv_bias=bias, out_bias=bias,
        rope=0 if rotates else None,
    )  # fmt: skip
    stated = c.take("layer_types", before=None)
    also = c.take("layers_block_type", before=None)
    kinds = mamba2_mixer.layer_kinds(
        c, "layer_types", also if stated is None else stated, n.layers, ("mamba", "attention")
    )
    inner = int(c.number("mamba_expand", before=2) * n.hidden)
    mixer = mamba2_mixer.read_mixer(c, inner, norm, kind) if "mamba" in kinds else None
    if mixer is None:
        c.take_unused(*_MIXER_KEYS)
    feed_forward, scale = _feed_forward(c, n, kind), c.number("residual_multiplier", before=1.0)
    layers = tuple(
        LayerConfig(None, feed_forward, norm, mixer=mixer, residual_scale=scale)
        if of == "mamba"
        else LayerConfig(attention, feed_forward, norm, residual_scale=scale)
        for of in kinds
    )
    c.expect("normalization_function", "rmsnorm", None, before=None)
    c.take_unused("init_method")
    if not rotates:
        c.take_unused("rope_parameters", "rope_scaling", "rope_theta")
    return decoder(
        c, n, layers, ropes=None if rotates else (),
        embedding_scale=c.number("embedding_multiplier", before=1.0),
        logit_scale=1 / c.number("logits_scaling", before=1.0),
    )  # fmt: skip


_MIXER_KEYS = (
    "mamba_chunk_size", "mamba_conv_bias", "mamba_d_conv", "mamba_d_head", "mamba_d_state",
    "mamba_n_groups", "mamba_n_heads", "mamba_proj_bias", "time_step_limit",
)  # fmt: skip


def _feed_forward(c: ConfigReader, n: Sizes, kind: str) -> FeedForwardConfig | MoEConfig:
    """A dense network, or experts beside it."""
    dense = FeedForwardConfig(c.count("shared_intermediate_size", before=1024), kind)
    experts = c.take("num_local_experts", before=8)
    if experts in (0, None):
        c.take_unused("num_experts_per_tok")
        return dense
    experts = c.counted("num_local_experts", experts)
    chosen = c.count("num_experts_per_tok", before=2)
    if chosen > experts:
        raise CheckpointError(
            f"num_experts_per_tok={excerpt(chosen)} of {experts} experts", where="model.config"
        )
    router = RouterConfig("best_softmax", experts, chosen, normalize=True)
    return MoEConfig(router, FeedForwardConfig(n.ffn, kind), dense)


_PAIRS, _SPLITS = mamba2_mixer.names(f"{L}.mamba", f"{D}.mixer")
_F = f"{D}.feed_forward"
_MOE, _DENSE = f"{L}.block_sparse_moe", f"{L}.shared_mlp"


def _halves(module: str) -> tuple[str, ...]:
    return tuple(f"{module}.gate_up.{x}.weight" for x in ("gate", "up"))


FAMILY = Family(
    name=NAME,
    architecture="GraniteMoeHybridForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [
                *hf_names.COMMON, *_PAIRS,
                (f"{_MOE}.router.layer.weight", f"{_F}.router.gate.weight"),
                (f"{_DENSE}.output_linear.weight", f"{_F}.down.weight"),
            ],
            # The dense network is the whole one, or that beside the experts.
            splits=[
                *_SPLITS,
                Split(f"{_DENSE}.input_linear.weight", _halves(_F)),
                Split(f"{_DENSE}.input_linear.weight", _halves(f"{_F}.shared")),
                Split(f"{_DENSE}.output_linear.weight", (f"{_F}.shared.down.weight",)),
                *stacked_experts(
                    f"{_MOE}.input_linear.weight", f"{_MOE}.output_linear.weight", _F
                ),
            ],
        ),
        "gguf": gguf_names.COMMON,  # of models with attention layers alone
    },
    config_from={"gguf": gguf_configs.granitemoehybrid},
    restore={"gguf": halves_from_pairs},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 48, "shared_intermediate_size": 96,
        "num_local_experts": 4, "num_experts_per_tok": 2,
        "layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_d_head": 16,
        "mamba_d_state": 16, "mamba_expand": 2,
    },
)  # fmt: skip
