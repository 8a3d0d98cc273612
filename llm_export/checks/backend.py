"""Rules of the group ``backend``; see ``checks.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from llm_export.backends import BACKENDS, Backend
from llm_export.config.schema import Recipe
from llm_export.errors import did_you_mean
from llm_export.resolve.methods import shapes_of

Found = tuple[str, str, str]
"""What is wrong, the key, and the fix."""


def option_problems(recipe: Recipe) -> Iterator[Found]:
    """Keys and values of ``backend.options``."""
    backend, stated = BACKENDS.get(recipe.backend.name), recipe.backend.options
    known = [f.name for f in fields(backend.options)]
    for key in stated:
        if key not in known:
            what = f"{backend.name} has no option '{key}'"
            fix = did_you_mean(key, known) if known else "remove it: there are none"
            yield what, f"backend.options.{key}", fix
    if all(key in known for key in stated):
        try:
            backend.options(**stated)
        except (ValueError, TypeError) as error:
            yield str(error), "backend.options", f"see llm-export show, or backend={backend.name}"


def own_problems(recipe: Recipe) -> list[Found]:
    """What the backend itself rules out; only asked if its options are sound."""
    if any(True for _ in option_problems(recipe)):
        return []
    return [*BACKENDS.get(recipe.backend.name).refused(recipe)]


def chain_problems(recipe: Recipe) -> Iterator[Found]:
    """Further backends must exist, differ, and take programs of the same form."""
    first, key = BACKENDS.get(recipe.backend.name), "backend.then"
    seen = {first.name}
    for name in (first.name, *recipe.backend.then)[:-1]:
        if name in BACKENDS and not BACKENDS.get(name).capabilities.followed:
            what = f"other backends cannot read what {name} leaves"
            yield what, key, f"{name} as the last one"
    for name in recipe.backend.then:
        if name not in BACKENDS:
            yield f"there is no backend '{name}'", key, did_you_mean(name, BACKENDS)
            continue
        if name in seen:
            yield f"'{name}' is named twice", key, "each backend once"
        seen.add(name)
        obstacle = _unlike(first, BACKENDS.get(name), shapes_of(recipe).dynamic)
        if obstacle:
            what = f"{name} cannot take what {first.name} leaves: {obstacle}"
            fix = f"backend={first.name}, or runtime.dynamic_shapes=false"
            yield what, key, fix if shapes_of(recipe).dynamic else f"backend={first.name}"


def _unlike(first: Backend, other: Backend, dynamic: bool) -> str | None:
    if first.capabilities.token_dtype != other.capabilities.token_dtype:
        return "their inputs are of different types"
    if dynamic and not other.capabilities.dynamic_shapes:
        return "it takes fixed shapes only"
    if first.edge_dialect != other.edge_dialect:
        return "they are lowered from different dialects"
    return None
