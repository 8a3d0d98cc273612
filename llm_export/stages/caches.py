"""What the caches of a model are made of, for records and manifests."""

from __future__ import annotations

from typing import Any

from torch import nn


def cache_bytes(model: nn.Module) -> int:
    """Memory that the keys and values of a whole context take at run time, scales included."""
    return sum(b.numel() * b.element_size() for name, b in model.named_buffers() if "cache" in name)


def cache_entry(model: nn.Module) -> dict[str, Any]:
    """dtype and bytes of the caches of a whole context."""
    kept = [b for name, b in model.named_buffers() if name.endswith("_cache")]
    dtypes = sorted({str(b.dtype).removeprefix("torch.") for b in kept})
    return {"dtype": ", ".join(dtypes), "bytes": cache_bytes(model)}


def cache_note(model: nn.Module) -> dict[str, Any]:
    """``cache_entry`` beside what the same keys and values take in float32."""
    return {**cache_entry(model), "float32_bytes": float_bytes(model)}


def float_bytes(model: nn.Module) -> int:
    return sum(4 * b.numel() for name, b in model.named_buffers() if name.endswith("_cache"))


def cache_remark(model: nn.Module) -> str:
    """In words: size, and for a quantized cache what it saves."""
    entry, whole = cache_entry(model), float_bytes(model)
    size = f"{entry['bytes'] / 1e6:.1f} MB"
    if entry["bytes"] >= whole:
        return f"{size} of caches"
    return f"{size} of {entry['dtype']} caches ({whole / 1e6:.1f} MB in float32)"
