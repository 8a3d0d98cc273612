"""ModernBERT (arXiv:2412.13663): pre-norm, GeGLU, RoPE, local attention with some global layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import (
    AttentionConfig,
    FeedForwardConfig,
    LayerConfig,
    NormConfig,
    RopeConfig,
)
from llm_export.models.encoders.checkpoint import task_options, with_sentence_files
from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.dense_config import KEY, dense_layers
from llm_export.models.encoders.facts import build, check_options, context_limit
from llm_export.models.encoders.names import DENSE, optional_prefix
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import activation, layer_types
from llm_export.models.families.rope_by_kind import read_local_and_global
from llm_export.models.programs.family import TaskFamily

NAME = "modernbert"


def from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """A Hugging Face ``ModernBertConfig`` as dict -> EncoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    hidden, heads = c.count("hidden_size"), c.count("num_attention_heads")
    count, positions = c.count("num_hidden_layers"), c.count("max_position_embeddings")
    if hidden % heads:
        raise CheckpointError(
            f"hidden_size={hidden} is not a multiple of num_attention_heads={heads}",
            where="model.config",
        )
    e = hidden // heads
    norm = NormConfig(c.number("norm_eps"), "layer", c.flag("norm_bias", before=False))
    bias = c.flag("attention_bias", before=False)
    attention = AttentionConfig(heads, heads, e, e**-0.5, qkv_bias=bias, out_bias=bias)
    ffn = FeedForwardConfig(
        c.count("intermediate_size"), activation(c, "hidden_activation"),
        c.flag("mlp_bias", before=False),
    )  # fmt: skip
    every = c.take("global_attn_every_n_layers", before=None) or 3
    local = layer_types(c, count, lambda i: bool(i % every))
    # A token attends to as many before it as after it, and the key states the sum of both.
    window = c.count("local_attention") // 2 + 1
    layers = tuple(
        LayerConfig(
            replace(attention, window=window if near else None, rope=0 if near else 1),
            ffn, norm, kind="pre" if i else "pre_first",
        )
        for i, near in enumerate(local)
    )  # fmt: skip
    result = EncoderConfig(
        family=NAME,
        vocab_size=c.count("vocab_size"),
        hidden_size=hidden,
        max_positions=positions,
        layers=layers,
        ropes=_ropes(c, e, positions),
        embedding_norm=norm,
        final_norm=norm,
        pad_id=c.token("pad_token_id", before=0),
        dense=dense_layers(config),
    )
    c.take_unused(KEY, *_OF_HEADS)
    c.finish()
    return result


_OF_HEADS = (
    "classifier_activation", "classifier_bias", "classifier_dropout", "classifier_pooling",
    "cls_token_id", "decoder_bias", "deterministic_flash_attn", "gradient_checkpointing",
    "initializer_cutoff_factor", "layer_norm_eps", "mlp_dropout", "position_embedding_type",
    "reference_compile", "repad_logits_with_grad", "sparse_pred_ignore_index",
    "sparse_prediction", "tie_word_embeddings",
)  # fmt: skip
"""Keys of heads for other tasks, of training and of how the reference computes. Its own config
writes BERT's ``layer_norm_eps`` and ``position_embedding_type`` too, which nothing reads."""


def _ropes(c: ConfigReader, e: int, positions: int) -> tuple[RopeConfig, RopeConfig]:
    """Local layers', then global layers'."""
    bases = (c.take(f"{kind}_rope_theta", before=None) for kind in ("local", "global"))
    local, full = (base or usual for base, usual in zip(bases, (1e4, 1.6e5), strict=True))
    return read_local_and_global(c, e, positions, local=local, full=full)


_L = "layers.{i}"
_PAIRS = [
    ("embeddings.tok_embeddings.weight", "embeddings.tokens.weight"),
    ("embeddings.norm.{leaf}", "embeddings.norm.{leaf}"),
    ("final_norm.{leaf}", "norm.{leaf}"),
    (f"{_L}.attn_norm.{{leaf}}", f"{_L}.attention_norm.{{leaf}}"),
    (f"{_L}.attn.Wo.{{leaf}}", f"{_L}.attention.out.{{leaf}}"),
    (f"{_L}.mlp_norm.{{leaf}}", f"{_L}.ffn_norm.{{leaf}}"),
    (f"{_L}.mlp.Wo.{{leaf}}", f"{_L}.feed_forward.down.{{leaf}}"),
]
_QKV = tuple(f"{_L}.attention.qkv.{x}.{{leaf}}" for x in "qkv")
_GATE_UP = tuple(f"{_L}.feed_forward.gate_up.{x}.{{leaf}}" for x in ("gate", "up"))
_NAMES, _IGNORED = optional_prefix("model.", _PAIRS, [r"(head|decoder|classifier)\..*"])

FAMILY = TaskFamily(
    name=NAME,
    task="embed",
    architectures=("ModernBertModel", "ModernBertForMaskedLM"),
    from_hf=from_hf,
    build=build,
    keys=KeyMap(
        [*_NAMES, *DENSE],
        splits=[
            Split(f"{prefix}{_L}.{source}.{{leaf}}", targets)
            for prefix in ("", "model.")
            for source, targets in (("attn.Wqkv", _QKV), ("mlp.Wi", _GATE_UP))
        ],
        ignored=_IGNORED,
    ),
    context_limit=context_limit,
    tiny={
        "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 128, "local_attention": 8,
        "hidden_activation": "gelu", "norm_eps": 1e-5, "pad_token_id": 0,
    },
    opened=with_sentence_files,
    options=task_options,
    check_options=check_options,
    smoothing_refusal=None,
)  # fmt: skip
