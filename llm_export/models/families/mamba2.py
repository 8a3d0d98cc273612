"""Mamba-2 (arXiv:2405.21060): layers of one state space mixer each, without attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.config import DecoderConfig, LayerConfig, Mamba2Config, NormConfig
from llm_export.models.families import gguf_mamba, mamba2_mixer
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation

NAME = "mamba2"

UNLIMITED = 1 << 20
"""Positions of a model whose only limit is the length of its training texts."""

INITIAL = (
    "A_initializer_range", "emb_initializer_range", "rescale_prenorm_residual",
    "time_step_floor", "time_step_max", "time_step_rank",
)  # fmt: skip
"""Keys that concern the initial values of weights."""


def from_hf(config: Mapping[str, Any]) -> DecoderConfig:
    """A Hugging Face ``Mamba2Config`` as dict -> DecoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    hidden, heads, head_dim = c.count("hidden_size"), c.count("num_heads"), c.count("head_dim")
    mamba2_mixer.require_inner(heads, head_dim, int(hidden * c.number("expand", before=2)))
    norm = NormConfig(c.number("layer_norm_epsilon", before=1e-5))
    groups, bias = c.count("n_groups", before=8), c.flag("use_bias", before=False)
    mixer = Mamba2Config(
        heads, head_dim, c.count("state_size"), groups, c.count("conv_kernel", before=4),
        conv_bias=c.flag("use_conv_bias", before=True), bias=bias, out_bias=bias,
        step_limits=mamba2_mixer.step_limits(c), gate_norm=norm, norm_groups=groups,
        activation=activation(c, before="silu"),
    )  # fmt: skip
    c.expect("rms_norm", True, before=True)
    c.take_unused(*INITIAL, "chunk_size", "norm_before_gate", "residual_in_fp32", "time_step_min")
    result = DecoderConfig(
        family=NAME,
        vocab_size=c.count("vocab_size"),
        hidden_size=hidden,
        max_positions=c.count("max_position_embeddings", before=UNLIMITED),
        tied_embeddings=c.flag("tie_word_embeddings", before=False),
        layers=(LayerConfig(None, None, norm, mixer=mixer),) * c.count("num_hidden_layers"),
        ropes=(),
        norm=norm,
    )
    c.finish()
    return result


PREFIX, D = "backbone", "layers.{i}"
ENDS = [
    (f"{PREFIX}.embeddings.weight", "embed.weight"),
    # Checkpoints that were converted from the authors' format.
    (f"{PREFIX}.embedding.weight", "embed.weight"),
    (f"{PREFIX}.norm_f.weight", "norm.weight"),
    ("lm_head.weight", "head.weight"),
]
_PAIRS, _SPLITS = mamba2_mixer.names(f"{PREFIX}.layers.{{i}}.mixer", f"{D}.mixer")

FAMILY = Family(
    name=NAME,
    architecture="Mamba2ForCausalLM",
    from_hf=from_hf,
    keys={
        "hf": KeyMap(
            [*ENDS, (f"{PREFIX}.layers.{{i}}.norm.weight", f"{D}.attention_norm.weight"), *_PAIRS],
            splits=_SPLITS,
        ),
        "gguf": gguf_mamba.MAMBA2,
    },
    config_from={"gguf": gguf_mamba.mamba2},
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 8,
        "head_dim": 16, "state_size": 16, "n_groups": 2, "expand": 2,
    },
)  # fmt: skip
