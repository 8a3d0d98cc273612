"""Falcon-H1 (arXiv:2507.22448): Mamba-2 beside attention in each layer, with muP multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import DecoderConfig, FeedForwardConfig, LayerConfig, NormConfig
from llm_export.models.families import gguf_falcon_h1, mamba2_mixer
from llm_export.models.families.bamba import KEYS
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.layers import activation, decoder, grouped_query, read_sizes

if TYPE_CHECKING:
    from torch import Tensor

NAME = "falcon_h1"

_IMPLIED = (
    "attn_layer_indices", "mamba_use_mlp", "mlp_expansion_factor", "num_logits_to_keep",
    "time_step_floor", "time_step_max", "time_step_min", "time_step_rank",
)  # fmt: skip
"""Keys of published configs that transformers does not read."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``FalconH1Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    n = read_sizes(c)
    norm, kind = NormConfig(c.number("rms_norm_eps")), activation(c)
    bias = c.flag("attention_bias", before=False)
    # Scores are linear in the keys, which nothing norms.
    scale = n.head_dim**-0.5 * _factor(c, "key_multiplier")
    attention = grouped_query(n, scale=scale, qkv_bias=bias, out_bias=bias)
    expand, size = c.number("mamba_expand", before=2), c.take("mamba_d_ssm", before=1024)
    inner = int(expand * n.hidden) if size is None else c.counted("mamba_d_ssm", size)
    normed = c.flag("mamba_rms_norm", before=False)
    first = c.flag("mamba_norm_before_gate", before=True)
    mixer = mamba2_mixer.read_mixer(
        c, inner, norm, kind,
        out_bias=c.flag("projectors_bias", before=False),
        gate_norm=norm if normed else None, gate_first=not first,
        scales=_factors(c, "ssm_multipliers", 5),
    )  # fmt: skip
    gate, out = _factors(c, "mlp_multipliers", 2)
    feed_forward = FeedForwardConfig(
        n.ffn, kind, c.flag("mlp_bias", before=False), scales=(gate, out)
    )
    layer = LayerConfig(
        attention, feed_forward, norm, mixer=mixer,
        attention_in=_factor(c, "attention_in_multiplier"),
        attention_scale=_factor(c, "attention_out_multiplier"),
        mixer_in=_factor(c, "ssm_in_multiplier"),
        mixer_scale=_factor(c, "ssm_out_multiplier"),
    )  # fmt: skip
    c.take_unused(*_IMPLIED)
    return decoder(
        c, n, (layer,) * n.layers,
        embedding_scale=_factor(c, "embedding_multiplier"),
        logit_scale=_factor(c, "lm_head_multiplier"),
    )  # fmt: skip


def _factor(c: ConfigReader, key: str) -> float:
    return c.number(key, before=1.0)


def _factors(c: ConfigReader, key: str, count: int) -> tuple[float, ...]:
    stated = c.take(key, before=None)
    values = (1.0,) * count if stated is None else tuple(float(x) for x in stated)
    if len(values) != count or not all(0 < x < float("inf") for x in values):
        raise CheckpointError(
            f"config key {key}={excerpt(repr(stated))} is not {count} positive numbers",
            where="model.config",
        )
    return values


def folded(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Multiply a weight or bias by the factor that the model applies to its output."""
    return mamba2_mixer.folded(name, tensor, config) * _feed_forward(name, config)


def unfolded(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """The inverse of ``folded``."""
    return mamba2_mixer.unfolded(name, tensor, config) / _feed_forward(name, config)


def _feed_forward(name: str, config: DecoderConfig) -> float:
    ffn = config.layers[0].feed_forward
    assert isinstance(ffn, FeedForwardConfig)
    gate, out = ffn.scales or (1.0, 1.0)
    if ".feed_forward.gate_up.gate." in name:
        return gate
    return out if ".feed_forward.down." in name else 1.0


FAMILY = Family(
    name=NAME,
    architecture="FalconH1ForCausalLM",
    from_hf=from_hf,
    keys={"hf": KEYS, "gguf": gguf_falcon_h1.NAMES},
    config_from={"gguf": gguf_falcon_h1.falcon_h1},
    restore={"hf": folded},
    store=unfolded,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "mamba_n_heads": 8,
        "mamba_d_head": 12, "mamba_d_ssm": 96, "mamba_d_state": 16,
    },
)  # fmt: skip
