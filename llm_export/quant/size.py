"""Size of a model's quantizable weights in the file."""

from __future__ import annotations

from collections.abc import Iterable

from llm_export.quant.layer_spec import LayerQuantSpec


def matrix_bytes(choices: Iterable[LayerQuantSpec]) -> int:
    """Bytes of the selected weights, counting shared ones once."""
    return sum(choice.bytes for choice in choices)


def matrix_weights(choices: Iterable[LayerQuantSpec]) -> int:
    """Number of weights, to which ``quant.bits_per_weight`` refers; shared weights count once."""
    return sum(c.shape[0] * c.shape[1] for c in choices if c.shared_with is None)
