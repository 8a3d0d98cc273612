"""Resolve the attention kind of a recipe. Caches that are not static, or not in float, have their
own attention kinds."""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe

INT8 = {AttentionKind.custom_op: "custom_op_int8", AttentionKind.plain: "plain_int8"}
"""runtime.attention -> the same kind with an int8 cache."""

BFLOAT16 = "custom_op_bfloat16"
"""The only attention kind with a bfloat16 cache."""


def attention_of(recipe: Recipe, offered: Sequence[str], model: Sequence[str]) -> str:
    """Resolve runtime.attention: ``auto`` is the backends' best kind that the model supports. An
    unsupported kind is returned unchanged and refused by the checks.

    Args:
        offered: kinds that the backends support, best first.
        model: kinds that the model supports.
    """
    if recipe.runtime.kv_cache is not KVCacheKind.static:
        return recipe.runtime.kv_cache.value
    stated = recipe.runtime.attention
    if recipe.quant.kv_cache is CacheDtype.int8:
        return _int8(stated, offered, model)
    if recipe.quant.kv_cache is CacheDtype.bfloat16:
        return BFLOAT16
    if stated is not AttentionKind.auto:
        return stated.value
    return next((kind for kind in offered if kind in model), offered[0] if offered else "plain")


def _int8(stated: AttentionKind, offered: Sequence[str], model: Sequence[str]) -> str:
    if stated is not AttentionKind.auto:
        return INT8.get(stated, stated.value)
    found = [kind for kind in offered if kind in INT8.values()]
    return next((kind for kind in found if kind in model), found[0] if found else stated.value)
