"""Check that the model and the backends support the KV cache dtype of the recipe."""

from __future__ import annotations

from llm_export.backends import BACKENDS
from llm_export.checks.definitions import or_definition
from llm_export.checks.fixes import alternatives
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import AttentionKind, KVCacheKind
from llm_export.errors import Problem
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.resolve.attention import BFLOAT16, INT8
from llm_export.resolve.recipe import ResolvedRecipe

_FLOAT = "quant.kv_cache=float"


def cache_dtype_fits(resolved: ResolvedRecipe) -> list[Problem]:
    """Problems that prevent a KV cache in int8 or bfloat16."""
    obstacle = _int8(resolved) or _bfloat16(resolved)
    return [] if obstacle is None else [Problem(obstacle[0], "quant.kv_cache", obstacle[1])]


def _int8(resolved: ResolvedRecipe) -> tuple[str, str] | None:
    """(problem, fix) for an int8 cache; None if there is no problem."""
    recipe, definition = resolved.recipe, resolved.definition
    runtime = recipe.runtime
    if recipe.quant.kv_cache is not CacheDtype.int8:
        return None
    if "int8" not in definition.caches:
        return (
            f"models of definition '{definition.name}' have no int8 cache",
            _FLOAT + or_definition(recipe, lambda d: "int8" in d.caches),
        )
    if runtime.kv_cache is not KVCacheKind.static:
        return (
            f"{_article(runtime.kv_cache.value)} cache is kept in float32 only",
            f"runtime.kv_cache={KVCacheKind.static.value}, or {_FLOAT}",
        )
    if runtime.attention is AttentionKind.static_io:
        return (
            "caches that a program takes and returns are float32 only",
            alternatives(_FLOAT, "runtime.attention=auto"),
        )
    able = resolved.model_attention
    fits = [named for named, kind in INT8.items() if kind in able]
    if not fits:
        return (
            f"the model {recipe.model.name} has no int8 cache: its latent attention keeps one "
            "vector for keys and values, rotated channels and others, which one scale does not fit",
            _FLOAT,
        )
    backend = _names(resolved)
    offered = [named for named in fits if INT8[named] in resolved.offered_attention]
    if not offered:
        others = [
            name for name in BACKENDS.sound() if _offers(name, [INT8[named] for named in fits])
        ]
        return f"{backend} has no int8 cache", alternatives(
            _FLOAT, *(f"backend={name}" for name in others)
        )
    if runtime.attention not in (AttentionKind.auto, *offered):
        named = runtime.attention.value
        lacking = backend if runtime.attention in fits else f"the model {recipe.model.name}"
        return (
            f"{lacking} has no '{named}' attention over an int8 cache",
            alternatives(
                *(f"runtime.attention={o}" for o in ("auto", *(o.value for o in offered))),
                _FLOAT if named in able else None,
            ),
        )
    return None


def _bfloat16(resolved: ResolvedRecipe) -> tuple[str, str] | None:
    """(problem, fix) for a bfloat16 cache; None if there is no problem."""
    recipe, runtime = resolved.recipe, resolved.recipe.runtime
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
            alternatives("runtime.attention=auto", f"runtime.attention={named}", _FLOAT),
        )
    if BFLOAT16 not in resolved.model_attention:
        return f"the model {recipe.model.name} has no cache in bfloat16", _FLOAT
    if BFLOAT16 not in resolved.offered_attention:
        others = [name for name in BACKENDS.sound() if _offers(name, [BFLOAT16])]
        what = f"{_names(resolved)} has no cache in bfloat16"
        return what, alternatives(_FLOAT, *(f"backend={name}" for name in others))
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


def _names(resolved: ResolvedRecipe) -> str:
    return "+".join(backend.name for backend in resolved.backends)
