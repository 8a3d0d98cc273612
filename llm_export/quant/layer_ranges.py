"""Layer ranges in quantization rules."""

from __future__ import annotations

import re


def last_layer(layers: str) -> int:
    """The largest layer number in the ranges."""
    return max(int(number) for number in re.findall(r"\d+", layers))


def beyond_words(layers: str | None, depth: int) -> str:
    return f"layers={layers}: the model has {depth} layers, 0 to {depth - 1}"


def layers_within(layers: str, depth: int) -> str:
    """The ranges without the layers that the model does not have; its last layer if none is left.
    Quoted for the override grammar, in which a comma separates values."""
    kept = []
    for part in layers.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if int(first or 0) < depth:
            beyond = last and int(last) >= depth
            kept.append(f"{first}-{depth - 1}" if dash and beyond else part)
    return f"'{','.join(kept or [str(depth - 1)])}'"


def layers_fix(depth: int) -> str:
    return f"numbers up to {depth - 1}; an open range such as {max(depth - 2, 0)}- has no end"
