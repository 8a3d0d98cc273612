"""The key ``dense`` of a model option: the linear layers after pooling.

A checkpoint's config.json does not have it: what reads sentence-transformers' files adds it; see
``sentence_transformers.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from llm_export.errors import CheckpointError, did_you_mean
from llm_export.models.encoders.config import ACTIVATIONS, DenseConfig

KEY = "dense"
_SIZES = ("in_features", "out_features")
_KNOWN = (*_SIZES, "bias", "activation")


def dense_layers(config: Mapping[str, Any]) -> tuple[DenseConfig, ...]:
    """The layers of ``config``; none without the key.

    Raises:
        CheckpointError: a value is not known, or sizes do not fit each other.
    """
    stated = config.get(KEY) or ()
    if not isinstance(stated, list | tuple):
        raise CheckpointError(f"{KEY}={stated!r} is no list of layers", where="model.config")
    layers = tuple(map(_layer, stated))
    for before, after in pairwise(layers):
        if before.outputs != after.inputs:
            raise CheckpointError(
                f"a dense layer reads {after.inputs} channels, and the one before it gives "
                f"{before.outputs}",
                where=f"config key {KEY}",
            )
    return layers


def _layer(entry: Any) -> DenseConfig:
    if not isinstance(entry, Mapping):
        raise CheckpointError(f"{entry!r} is no dense layer", where=f"config key {KEY}",
                              fix=f"a mapping with {', '.join(_KNOWN)}")  # fmt: skip
    for key in entry:
        if key not in _KNOWN:
            raise CheckpointError(f"a dense layer has no '{key}'", where=f"config key {KEY}",
                                  fix=did_you_mean(key, _KNOWN))  # fmt: skip
    lacking = [key for key in _KNOWN if key not in entry]
    if lacking:
        raise CheckpointError(f"a dense layer lacks {', '.join(lacking)}",
                              where=f"config key {KEY}")  # fmt: skip
    for key in _SIZES:
        value = entry[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(f"{key}={value!r} is not a positive whole number",
                                  where=f"config key {KEY}")  # fmt: skip
    if entry["activation"] not in ACTIVATIONS:
        raise CheckpointError(
            f"activation={entry['activation']!r} is not implemented", where=f"config key {KEY}",
            fix=f"implemented: {', '.join(ACTIVATIONS)}",
        )  # fmt: skip
    inputs, outputs = (entry[key] for key in _SIZES)
    return DenseConfig(inputs, outputs, bool(entry["bias"]), entry["activation"])
