"""What the caches of a model are made of, for records and manifests, and what they may cost."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from llm_export.bundle.manifest import CacheEntry
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe, Thresholds
from llm_export.json_data import to_json

INT8_CACHE_KL = 0.005
"""Mean KL, in nats, that a cache in int8 may add: ten times what it costs SmolLM2-135M."""


def cache_bytes(model: nn.Module) -> int:
    """Memory that the keys and values of a whole context take at run time, scales included."""
    return sum(b.numel() * b.element_size() for name, b in model.named_buffers() if "cache" in name)


def cache_entry(model: nn.Module) -> CacheEntry:
    """dtype and bytes of the caches of a whole context."""
    kept = [b for name, b in model.named_buffers() if name.endswith("_cache")]
    dtypes = sorted({str(b.dtype).removeprefix("torch.") for b in kept})
    return CacheEntry(", ".join(dtypes), cache_bytes(model))


def cache_note(model: nn.Module) -> dict[str, object]:
    """``cache_entry`` beside what the same keys and values take in float32."""
    return {**to_json(cache_entry(model)), "float32_bytes": float_bytes(model)}


def float_bytes(model: nn.Module) -> int:
    return sum(4 * b.numel() for name, b in model.named_buffers() if name.endswith("_cache"))


def cache_remark(model: nn.Module) -> str:
    """In words: size, and for a quantized cache what it saves."""
    entry, whole = cache_entry(model), float_bytes(model)
    size = f"{entry.bytes / 1e6:.1f} MB"
    if entry.bytes >= whole:
        return f"{size} of caches"
    return f"{size} of {entry.dtype} caches ({whole / 1e6:.1f} MB in float32)"


def with_cache_room(recipe: Recipe) -> Thresholds:
    """The limits of the recipe. A quant option's own speaks of its rules for weights and is
    widened by what an int8 cache may cost; a limit that the recipe states itself stands."""
    stated, own = recipe.verify.quality, recipe.quant.max_mean_kl
    if recipe.quant.kv_cache is not CacheDtype.int8 or own is None or stated.max_mean_kl != own:
        return stated
    return replace(stated, max_mean_kl=own + INT8_CACHE_KL)
