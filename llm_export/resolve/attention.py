"""The attention kind and the tier that a recipe comes to."""

from __future__ import annotations

from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe
from llm_export.models.definitions import DEFINITIONS
from llm_export.resolve.kv_cache import (
    BFLOAT16,
    int8_attention,
    offered_attention,
)


def resolved_attention(recipe: Recipe) -> str:
    """The attention kind that the recipe comes to: ``auto`` is the backend's best.

    A cache that is not static, or not in float, is a kind of its own.
    """
    if recipe.runtime.kv_cache is not KVCacheKind.static:
        return recipe.runtime.kv_cache.value
    if recipe.quant.kv_cache is CacheDtype.int8:
        return int8_attention(recipe)
    if recipe.quant.kv_cache is CacheDtype.bfloat16:
        return BFLOAT16
    if recipe.runtime.attention is not AttentionKind.auto:
        return recipe.runtime.attention.value
    able = DEFINITIONS.get(recipe.model.definition).attention_kinds(recipe)
    kinds = offered_attention(recipe)
    return next((kind for kind in kinds if kind in able), kinds[0])


def tier_of(recipe: Recipe) -> str:
    """Where the model's code comes from and why, for people."""
    model = recipe.model
    why = f": {model.reason}" if model.reason else ""
    return DEFINITIONS.get(model.definition).tier.format(family=model.family) + why
