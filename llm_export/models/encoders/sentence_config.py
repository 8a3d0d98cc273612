"""The key ``sentence_transformers`` of a model option: what its files say, as plain values.

A checkpoint's config.json does not have it: the reader of the folder adds it; see
``sentence_transformers.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, did_you_mean
from llm_export.models.encoders.config import DenseConfig, SentenceConfig
from llm_export.models.encoders.pooled import ACTIVATIONS
from llm_export.models.encoders.pooling import POOLINGS
from llm_export.models.families.config_values import ConfigReader

KEY = "sentence_transformers"
_KNOWN = ("pooling", "normalize", "dense")
_DENSE = ("in_features", "out_features", "bias", "activation")


def take_sentence(c: ConfigReader, hidden: int) -> SentenceConfig:
    """Take the key from a config; a config without it says nothing of pooling.

    Raises:
        CheckpointError: a value is not known, or sizes do not fit each other.
    """
    return sentence_config(c.take(KEY, before=None) or {}, hidden)


def sentence_config(facts: Mapping[str, Any], hidden: int) -> SentenceConfig:
    """``facts`` of the key for an encoder with ``hidden`` channels."""
    _mapping(facts, KEY)
    _known(facts, _KNOWN, KEY)
    pooling = facts.get("pooling") or ()
    pooling = (pooling,) if isinstance(pooling, str) else tuple(pooling)
    for name in pooling:
        _one_of(name, tuple(POOLINGS), "pooling")
    size = hidden * max(len(pooling), 1)
    dense = []
    for entry in facts.get("dense") or ():
        dense.append(_dense(entry, size))
        size = dense[-1].outputs
    return SentenceConfig(pooling, bool(facts.get("normalize", False)), tuple(dense))


def _dense(entry: Any, size: int) -> DenseConfig:
    where = f"{KEY}.dense"
    _mapping(entry, where)
    _known(entry, _DENSE, where)
    lacking = [key for key in _DENSE if key not in entry]
    if lacking:
        raise CheckpointError(f"a dense layer lacks {', '.join(lacking)}", where=where)
    inputs, outputs = (_count(entry[key], key) for key in ("in_features", "out_features"))
    if inputs != size:
        raise CheckpointError(
            f"a dense layer reads {inputs} channels, and what precedes it gives {size}", where=where
        )
    _one_of(entry["activation"], tuple(ACTIVATIONS), "dense.activation")
    return DenseConfig(inputs, outputs, bool(entry["bias"]), entry["activation"])


def _count(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{key}={value!r} is not a positive whole number", where=KEY)
    return value


def _one_of(value: Any, known: tuple[str, ...], key: str) -> None:
    if value not in known:
        raise CheckpointError(f"{key}={value!r} is not implemented", where=KEY,
                              fix=f"implemented: {', '.join(known)}")  # fmt: skip


def _known(facts: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in facts:
        if key not in known:
            raise CheckpointError(f"unknown key '{key}'", where=where, fix=did_you_mean(key, known))


def _mapping(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{value!r} is not a mapping", where=where)
