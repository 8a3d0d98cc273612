"""The dtype of the KV cache across groups: which attention kind keeps it, and who cannot."""

from __future__ import annotations

from llm_export.backends import BACKENDS
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import AttentionKind, KVCacheKind, Recipe
from llm_export.models.definitions import DEFINITIONS
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.resolve.methods import shapes_of

INT8 = {AttentionKind.custom_op: "custom_op_int8", AttentionKind.plain: "plain_int8"}
"""runtime.attention -> the same over a cache in int8."""

BFLOAT16 = "custom_op_bfloat16"
"""The one attention kind over a cache in bfloat16."""

_FLOAT = "quant.kv_cache=float"


def offered_attention(recipe: Recipe) -> tuple[str, ...]:
    """The attention kinds that the backend has with the recipe's shapes, best first."""
    capabilities = BACKENDS.get(recipe.backend.name).capabilities
    return capabilities.attention_kinds(dynamic=shapes_of(recipe).dynamic)


def int8_attention(recipe: Recipe) -> str:
    """The attention kind of a recipe with a static cache in int8; the backend's best for
    ``auto``. What is in no table stays, for ``int8_obstacle`` to refuse."""
    named = recipe.runtime.attention
    if named is not AttentionKind.auto:
        return INT8.get(named, named.value)
    able = DEFINITIONS.get(recipe.model.definition).attention_kinds(recipe)
    kinds = offered_attention(recipe)
    found = [kind for kind in kinds if kind in INT8.values()]
    return next((kind for kind in found if kind in able), found[0] if found else named.value)


def int8_obstacle(recipe: Recipe) -> tuple[str, str] | None:
    """What keeps a recipe from a cache in int8, and what to change; None where nothing does."""
    runtime, definition = recipe.runtime, DEFINITIONS.get(recipe.model.definition)
    if recipe.quant.kv_cache is not CacheDtype.int8:
        return None
    if "int8" not in definition.caches:
        able_ones = [name for name in DEFINITIONS if "int8" in DEFINITIONS.get(name).caches]
        return (
            f"models of definition '{definition.name}' have no int8 cache",
            f"{_FLOAT}, or model.definition={' or '.join(able_ones)}",
        )
    if runtime.kv_cache is not KVCacheKind.static:
        return (
            f"{_article(runtime.kv_cache.value)} cache is kept in float32 only",
            f"runtime.kv_cache={KVCacheKind.static.value}, or {_FLOAT}",
        )
    if runtime.attention is AttentionKind.static_io:
        return (
            "caches that a program takes and returns are float32 only",
            f"another runtime.attention than {runtime.attention.value}, or {_FLOAT}",
        )
    able = definition.attention_kinds(recipe)
    fits = [named for named, kind in INT8.items() if kind in able]
    if not fits:
        return (
            f"the model {recipe.model.name} has no int8 cache: its latent attention keeps one "
            "vector for keys and values, rotated channels and others, which one scale does not fit",
            _FLOAT,
        )
    backend = BACKENDS.get(recipe.backend.name)
    offered = [named for named in fits if INT8[named] in offered_attention(recipe)]
    if not offered:
        others = [
            name for name in BACKENDS.sound() if _offers(name, [INT8[named] for named in fits])
        ]
        return f"{backend.name} has no int8 cache", f"{_FLOAT}, or backend={' or '.join(others)}"
    if runtime.attention not in (AttentionKind.auto, *offered):
        named = runtime.attention.value
        lacking = backend.name if runtime.attention in fits else f"the model {recipe.model.name}"
        return (
            f"{lacking} has no '{named}' attention over an int8 cache",
            f"runtime.attention={' or '.join(['auto', *(o.value for o in offered)])}, or {_FLOAT}",
        )
    return None


def bfloat16_obstacle(recipe: Recipe) -> tuple[str, str] | None:
    """The same for a cache in bfloat16."""
    runtime = recipe.runtime
    if recipe.quant.kv_cache is not CacheDtype.bfloat16:
        return None
    if runtime.kv_cache is not KVCacheKind.static:
        return f"{_article(runtime.kv_cache.value)} cache is kept in float32 only", (
            f"runtime.kv_cache={KVCacheKind.static.value}, or {_FLOAT}"
        )
    if runtime.attention not in (AttentionKind.auto, AttentionKind.custom_op_by_head):
        named = AttentionKind.custom_op_by_head.value
        return (
            f"'{runtime.attention.value}' attention has no cache in bfloat16",
            f"runtime.attention=auto or {named}, or {_FLOAT}",
        )
    if BFLOAT16 not in DEFINITIONS.get(recipe.model.definition).attention_kinds(recipe):
        return f"the model {recipe.model.name} has no cache in bfloat16", _FLOAT
    if BFLOAT16 not in offered_attention(recipe):
        others = [name for name in BACKENDS.sound() if _offers(name, [BFLOAT16])]
        what = f"{recipe.backend.name} has no cache in bfloat16"
        return what, f"{_FLOAT}, or backend={' or '.join(others)}"
    cast = [r.scheme for r in recipe.quant.rules if _is_cast(r.scheme)]
    if cast:
        return f"a model in {cast[0]} keeps its cache in {cast[0]}", _FLOAT
    return None


def _is_cast(scheme: str) -> bool:
    return scheme in SCHEMES and SCHEMES[scheme].flow is Flow.cast


def _offers(backend: str, kinds: list[str]) -> bool:
    return any(kind in BACKENDS.get(backend).capabilities.attention for kind in kinds)


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
