"""Rules of the group ``backend``; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from llm_export.backends import BACKENDS
from llm_export.backends.base import Backend
from llm_export.checks.fixes import alternatives, name_fix
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, did_you_mean
from llm_export.resolve.recipe import ResolvedRecipe


def unknown_backends(recipe: Recipe) -> list[Problem]:
    """Problems with unknown backend names, in ``backend`` and ``backend.fallbacks``."""
    named = {"backend.name": [recipe.backend.name], "backend.fallbacks": recipe.backend.fallbacks}
    return [
        Problem(f"there is no backend '{name}'", key, name_fix("backend", name, BACKENDS))
        for key, names in named.items()
        for name in names
        if name not in BACKENDS
    ]


def option_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Problems with ``backend.options``, whose keys are those of the first backend."""
    backend, stated = resolved.backend, resolved.recipe.backend.options
    known = [f.name for f in fields(backend.options)]
    for key in stated:
        if key not in known:
            what = f"{backend.name} has no option '{key}'"
            fix = did_you_mean(key, known) if known else "remove it: there are none"
            yield Problem(what, f"backend.options.{key}", fix)
    if all(key in known for key in stated):
        try:
            backend.options(**stated)
        except (ValueError, TypeError) as error:
            yield Problem(str(error), "backend.options", f"backend={backend.name}")


def own_problems(resolved: ResolvedRecipe) -> list[Problem]:
    """Problems that the backends themselves report; empty if their options are invalid."""
    if any(True for _ in option_problems(resolved)):
        return []
    return [problem for backend in resolved.backends for problem in backend.refused(resolved)]


def chain_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """The backends of a chain must differ, and must accept programs of the same form."""
    first, *others = resolved.backends
    key, seen = "backend.fallbacks", {first.name}
    for backend in resolved.backends[:-1]:
        if not backend.capabilities.followed:
            what = f"other backends cannot read what {backend.name} leaves"
            last = [b.name for b in resolved.backends if b is not backend] + [backend.name]
            fix = alternatives(f"backend={'+'.join(dict.fromkeys(last))}", f"{key}=[]")
            yield Problem(what, key, fix)
    for other in others:
        if other.name in seen:
            once = dict.fromkeys(backend.name for backend in resolved.backends)
            yield Problem(f"'{other.name}' is named twice", key, f"backend={'+'.join(once)}")
        seen.add(other.name)
        obstacle = _unlike(first, other, resolved.methods.dynamic)
        if obstacle:
            what = f"{other.name} cannot take what {first.name} leaves: {obstacle}"
            static = resolved.methods.dynamic and _unlike(first, other, False) is None
            fixed = "runtime.dynamic_shapes=false" if static else None
            yield Problem(what, key, alternatives(f"backend={first.name}", fixed))


def _unlike(first: Backend, other: Backend, dynamic: bool) -> str | None:
    if first.capabilities.token_dtype != other.capabilities.token_dtype:
        return "their inputs are of different types"
    if dynamic and not other.capabilities.dynamic_shapes:
        return "it takes fixed shapes only"
    if first.edge_dialect != other.edge_dialect:
        return "they are lowered from different dialects"
    return None
