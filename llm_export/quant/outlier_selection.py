"""How a linear selects the inputs of its outlier channels. Does not import torch, because size
predictions use it too."""

from __future__ import annotations

_PRODUCT = 1 << 15
"""Elements of the largest matrix that selects channels: 128 KiB."""


def by_product(channels: int, inputs: int) -> bool:
    """Whether a product with ones and zeros selects them. It stays within a delegate, which
    ``index_select`` would cut in two; of many channels it would read more bytes than it saves."""
    return channels * inputs <= _PRODUCT


def selection_bytes(channels: int, inputs: int) -> int:
    """Bytes of what selects the channels (that product in float32, or indices in int64), and of the
    factors that remove them from the other product."""
    if not channels:
        return 0
    selects = 4 * channels * inputs if by_product(channels, inputs) else 8 * channels
    return selects + 4 * inputs
