"""Bytes of the matrices of a model in its file."""

from __future__ import annotations

from collections.abc import Iterable

from llm_export.quant.layer_spec import LayerQuantSpec


def matrix_bytes(choices: Iterable[LayerQuantSpec]) -> int:
    """Bytes of the chosen matrices: the one place that knows what is stored once."""
    return sum(choice.bytes for choice in choices)


def matrix_weights(choices: Iterable[LayerQuantSpec]) -> int:
    """Weights of the matrices, to which ``quant.bits_per_weight`` refers; those that two share
    count once."""
    return sum(c.shape[0] * c.shape[1] for c in choices if c.shared_with is None)
