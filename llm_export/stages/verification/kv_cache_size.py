"""KV cache accounting for records and manifests, and the quality limit for int8 caches."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from llm_export.bundle.manifest import CacheEntry
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe, Thresholds
from llm_export.json_data import to_json

INT8_CACHE_KL = 0.005
"""Mean KL, in nats, that an int8 cache may add: ten times its effect on SmolLM2-135M."""


def cache_bytes(model: nn.Module) -> int:
    """Run-time memory of the KV cache for a whole context, including scales."""
    return sum(b.numel() * b.element_size() for name, b in model.named_buffers() if "cache" in name)


def cache_entry(model: nn.Module) -> CacheEntry:
    """dtype and bytes of the KV cache for a whole context."""
    kept = [b for name, b in model.named_buffers() if name.endswith("_cache")]
    dtypes = sorted({str(b.dtype).removeprefix("torch.") for b in kept})
    return CacheEntry(", ".join(dtypes), cache_bytes(model))


def cache_note(model: nn.Module) -> dict[str, object]:
    """``cache_entry``, and the size of the same cache in float32."""
    return {**to_json(cache_entry(model)), "float32_bytes": float_bytes(model)}


def float_bytes(model: nn.Module) -> int:
    return sum(4 * b.numel() for name, b in model.named_buffers() if name.endswith("_cache"))


def cache_remark(model: nn.Module) -> str:
    """Message with the size and, for a quantized cache, the saving."""
    entry, whole = cache_entry(model), float_bytes(model)
    size = f"{entry.bytes / 1e6:.1f} MB"
    if entry.bytes >= whole:
        return f"{size} of caches"
    return f"{size} of {entry.dtype} caches ({whole / 1e6:.1f} MB in float32)"


def with_cache_room(recipe: Recipe) -> Thresholds:
    """The recipe's limits. A limit of a quant option covers only weights, so it is widened by the
    effect of an int8 cache; a limit in the recipe itself is used unchanged.
    """
    stated, own = recipe.verify.quality, recipe.quant.max_mean_kl
    if recipe.quant.kv_cache is not CacheDtype.int8 or own is None or stated.max_mean_kl != own:
        return stated
    return replace(stated, max_mean_kl=own + INT8_CACHE_KL)
