"""Config of a T5 encoder–decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import FeedForwardConfig, NormConfig
from llm_export.models.families.config_values import ConfigReader

_ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh", "silu": "silu", "swish": "silu",
}  # fmt: skip


@dataclass(frozen=True)
class T5Config:
    """Attributes:
    buckets, longest: of the relative position bias; see ``RelativeBias``.
    tied: whether the head is the token table.
    scaled: whether the head's input is multiplied by D ** -0.5.
    start_id, eos_id, pad_id: of the decoder's first token, the end, and padding.
    """

    vocab_size: int
    hidden: int
    heads: int
    head_dim: int
    layers: int
    decoder_layers: int
    ffn: FeedForwardConfig
    norm: NormConfig
    buckets: int
    longest: int
    tied: bool
    scaled: bool
    start_id: int
    eos_id: int
    pad_id: int


def t5_config(family: str, config: Mapping[str, Any]) -> T5Config:
    """A Hugging Face ``T5Config`` as dict -> T5Config.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(family, config)
    c.take_unused("dropout_rate", "classifier_dropout", "initializer_factor", "is_gated_act")
    c.take_unused("dense_act_fn", "n_positions", "output_past", "decoder_end_token_id")
    c.take_unused("is_decoder", "dropout_p")
    c.expect("is_encoder_decoder", True, before=True)
    c.expect("tie_encoder_decoder", False, before=False)
    layers = c.count("num_layers")
    decoder_layers = c.take("num_decoder_layers", before=None)
    start, eos, pad = (
        c.peek(key) for key in ("decoder_start_token_id", "eos_token_id", "pad_token_id")
    )
    tied = c.flag("tie_word_embeddings", before=True)
    # transformers 5 writes tie_word_embeddings=true for all, and for those that it was false for
    # this key, which then says as well that the head is a matrix of its own.
    scaled = bool(c.take("scale_decoder_outputs", before=tied))
    read = T5Config(
        vocab_size=c.count("vocab_size"),
        hidden=c.count("d_model"),
        heads=c.count("num_heads"),
        head_dim=c.count("d_kv"),
        layers=layers,
        decoder_layers=layers
        if decoder_layers is None
        else c.counted("num_decoder_layers", decoder_layers),
        ffn=_feed_forward(c),
        norm=NormConfig(c.number("layer_norm_epsilon")),
        buckets=c.count("relative_attention_num_buckets"),
        longest=c.count("relative_attention_max_distance", before=128),
        tied=tied and scaled,
        scaled=scaled,
        pad_id=_token("pad_token_id", pad, 0),
        start_id=_token("decoder_start_token_id", start, _token("pad_token_id", pad, 0)),
        eos_id=_token("eos_token_id", eos[0] if isinstance(eos, list) and eos else eos, 1),
    )
    c.finish()
    _check(family, read)
    return read


def _feed_forward(c: ConfigReader) -> FeedForwardConfig:
    kind = c.take("feed_forward_proj")
    names = str(kind).split("-")
    activation = "gelu_new" if kind == "gated-gelu" else names[-1]
    gated = len(names) == 2 and names[0] == "gated"
    if activation not in _ACTIVATIONS or (len(names) > 1 and not gated):
        raise CheckpointError(
            f"family '{c.family}' does not implement feed_forward_proj={kind!r}",
            where="config key feed_forward_proj",
            fix=f"implemented: {', '.join(_ACTIVATIONS)}, and each as gated-NAME",
        )
    return FeedForwardConfig(
        c.count("d_ff"), _ACTIVATIONS[activation], kind="gated" if gated else "plain"
    )


def _token(key: str, value: Any, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"config key {key}={value!r} is no token id", where="model.config")
    return value


def _check(family: str, read: T5Config) -> None:
    if read.buckets < 4 or read.buckets % 2 or read.longest <= read.buckets // 2:
        raise CheckpointError(
            f"relative_attention_num_buckets={read.buckets} and relative_attention_max_distance="
            f"{read.longest} do not fit: an even number of buckets from 4, and a distance of more "
            "than half as many",
            where=f"family '{family}'",
        )
    for name in ("start_id", "eos_id", "pad_id"):
        if getattr(read, name) >= read.vocab_size:
            raise CheckpointError(
                f"{name.replace('_', ' ')} {getattr(read, name)} is not below "
                f"vocab_size={read.vocab_size}", where=f"family '{family}'",
            )  # fmt: skip
