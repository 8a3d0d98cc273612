"""BERT, RoBERTa and XLM-RoBERTa: MiniLM, BGE, E5, GTE and most of sentence-transformers' models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import AttentionConfig, FeedForwardConfig, LayerConfig, NormConfig
from llm_export.models.encoders.checkpoint import task_options, with_sentence_files
from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.dense_config import KEY, dense_layers
from llm_export.models.encoders.facts import build, check_options, context_limit
from llm_export.models.encoders.names import DENSE, optional_prefix
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation
from llm_export.models.programs.family import TaskFamily


def from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """A Hugging Face ``BertConfig`` as dict -> EncoderConfig.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    return _encoder("bert", config, offset=False)


def roberta_from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """A ``RobertaConfig``: the first position has the row after the padding token's."""
    return _encoder("roberta", config, offset=True)


def xlm_roberta_from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """An ``XLMRobertaConfig``, read like RoBERTa's."""
    return _encoder("xlm-roberta", config, offset=True)


def _encoder(name: str, config: Mapping[str, Any], *, offset: bool) -> EncoderConfig:
    c = ConfigReader(name, config)
    hidden, heads = c.count("hidden_size"), c.count("num_attention_heads")
    if hidden % heads:
        raise CheckpointError(
            f"hidden_size={hidden} is not a multiple of num_attention_heads={heads}",
            where="model.config",
        )
    e = hidden // heads
    norm = NormConfig(c.number("layer_norm_eps"), kind="layer", bias=True)
    attention = AttentionConfig(
        heads, heads, e, e**-0.5, rope=None, qkv_bias=True, out_bias=True
    )  # fmt: skip
    ffn = FeedForwardConfig(c.count("intermediate_size"), activation(c), bias=True, kind="plain")
    c.expect("position_embedding_type", "absolute", before="absolute")
    c.take_unused(*_OF_HEADS)
    pad = c.token("pad_token_id", before=1 if offset else 0)
    rows = c.count("max_position_embeddings")
    first = pad + 1 if offset else 0
    layer = LayerConfig(attention, ffn, norm, kind="post_sum")
    result = EncoderConfig(
        family=name,
        vocab_size=c.count("vocab_size"),
        hidden_size=hidden,
        max_positions=rows - first,
        layers=(layer,) * c.count("num_hidden_layers"),
        position_rows=rows,
        first_position=first,
        token_types=c.count("type_vocab_size"),
        embedding_norm=norm,
        pad_id=pad,
        dense=dense_layers(config),
    )
    c.take_unused(KEY)
    c.finish()
    return result


_OF_HEADS = (
    "attention_probs_dropout_prob", "classifier_dropout", "directionality", "hidden_dropout_prob",
    "output_past", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers",
    "pooler_size_per_head", "pooler_type", "tie_word_embeddings",
)  # fmt: skip
"""Keys of heads for other tasks, and of dropout in training."""

_L, _OURS = "encoder.layer.{i}", "layers.{i}"
_EMBEDDINGS = [
    ("embeddings.word_embeddings.weight", "embeddings.tokens.weight"),
    ("embeddings.position_embeddings.weight", "embeddings.positions"),
    ("embeddings.token_type_embeddings.weight", "embeddings.types"),
]
_LINEARS = [
    *((f"{_L}.attention.self.{long}.{{leaf}}", f"{_OURS}.attention.qkv.{long[0]}.{{leaf}}")
      for long in ("query", "key", "value")),
    (f"{_L}.attention.output.dense.{{leaf}}", f"{_OURS}.attention.out.{{leaf}}"),
    (f"{_L}.intermediate.dense.{{leaf}}", f"{_OURS}.feed_forward.up.{{leaf}}"),
    (f"{_L}.output.dense.{{leaf}}", f"{_OURS}.feed_forward.down.{{leaf}}"),
]  # fmt: skip
_NORMS = [
    ("embeddings.LayerNorm", "embeddings.norm"),
    (f"{_L}.attention.output.LayerNorm", f"{_OURS}.attention_post_norm"),
    (f"{_L}.output.LayerNorm", f"{_OURS}.ffn_post_norm"),
]
# The names of 2018's TensorFlow checkpoints survive in converted ones.
_NORM_NAMES = [
    (f"{theirs}.{leaf}", f"{ours}.{own}")
    for theirs, ours in _NORMS
    for leaf, own in (("weight", "weight"), ("bias", "bias"), ("gamma", "weight"), ("beta", "bias"))
]
_HEADS = [r"pooler\.dense\.(weight|bias)", r"cls\..*", r"lm_head\..*",
          r"embeddings\.(position_ids|token_type_ids)"]  # fmt: skip


def _keys(prefix: str) -> KeyMap:
    pairs, ignored = optional_prefix(prefix, [*_EMBEDDINGS, *_LINEARS, *_NORM_NAMES], _HEADS)
    return KeyMap([*pairs, *DENSE], ignored=ignored)


_TINY = {
    "vocab_size": 320, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": 130, "type_vocab_size": 2,
    "hidden_act": "gelu", "layer_norm_eps": 1e-12,
}  # fmt: skip


def _family(name: str, architectures: tuple[str, ...], read: Any, prefix: str) -> TaskFamily:
    return TaskFamily(
        name=name,
        task="embed",
        architectures=architectures,
        from_hf=read,
        build=build,
        keys=_keys(prefix),
        context_limit=context_limit,
        tiny={**_TINY, "pad_token_id": 0 if name == "bert" else 1},
        opened=with_sentence_files,
        options=task_options,
        # Behind norms and GELU; the outputs of attention have none.
        outlier_layers=r".*\.(attention\.qkv\.\w+|feed_forward\.(up|down))",
        smoothing_refusal="its norms feed the residual stream too, which would be scaled with "
        "the inputs of the linear layers",
        check_options=check_options,
    )


BERT = _family("bert", ("BertModel", "BertForMaskedLM"), from_hf, "bert.")
ROBERTA = _family("roberta", ("RobertaModel", "RobertaForMaskedLM"), roberta_from_hf, "roberta.")
XLM_ROBERTA = _family(
    "xlm-roberta", ("XLMRobertaModel", "XLMRobertaForMaskedLM"), xlm_roberta_from_hf, "roberta."
)
