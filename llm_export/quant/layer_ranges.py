"""Layer ranges in quantization rules."""

from __future__ import annotations

import re


def last_layer(layers: str) -> int:
    """The largest layer number in the ranges."""
    return max(int(number) for number in re.findall(r"\d+", layers))


def beyond_words(layers: str | None, depth: int) -> str:
    return f"layers={layers}: the model has {depth} layers, 0 to {depth - 1}"


def layers_fix(depth: int) -> str:
    return f"numbers up to {depth - 1}; an open range such as {max(depth - 2, 0)}- has no end"
