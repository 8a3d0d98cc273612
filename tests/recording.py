"""A recipe that remembers which of its keys are read."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass, replace
from typing import Any

from llm_export.backends import chain_of
from llm_export.config.schema import Recipe
from llm_export.models.definitions import DEFINITIONS
from llm_export.resolve.recipe import ResolvedRecipe, derive, resolve


def recording(recipe: Recipe, read: set[str]) -> Recipe:
    """A copy of ``recipe`` that adds the path of every value that is read of it to ``read``,
    also through copies that ``dataclasses.replace`` makes of it."""
    made: Recipe = _wrapped(recipe, "", read)
    read.clear()
    return made


def recording_resolved(recipe: Recipe, read: set[str]) -> ResolvedRecipe:
    """What a recording copy of ``recipe`` comes to. A look at anything that follows from the
    recipe counts as a read of every key that it follows from."""
    copy = recording(resolve(recipe).recipe, read)

    class Recorded(ResolvedRecipe):
        def __getattribute__(self, name: str) -> Any:
            _FOLLOWS.get(name, lambda recipe: None)(copy)
            return super().__getattribute__(name)

    plain = resolve(recipe)
    made = Recorded(**{f.name: getattr(plain, f.name) for f in fields(plain)})
    made = replace(made, recipe=copy)
    read.clear()
    return made


def _derived(recipe: Recipe) -> object:
    return derive(recipe, recipe, ())


def _chain(recipe: Recipe) -> object:
    return chain_of(recipe)


_FOLLOWS = {
    "backends": _chain,
    "backend": _chain,
    "capabilities": _chain,
    "obstacle_to_running": _chain,
    "definition": lambda recipe: DEFINITIONS.get(recipe.model.definition),
    "methods": _derived,
    "attention": _derived,
    "model_attention": _derived,
    "offered_attention": _derived,
    "cache_dtype": _derived,
}
"""What a resolved recipe offers -> what reads the keys that it follows from."""


def _wrapped(value: Any, path: str, read: set[str]) -> Any:
    kind = type(value)
    names = {f.name for f in fields(value)}

    class Recorded(kind):  # type: ignore[valid-type,misc]
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name in names and not is_dataclass(found) and not _is_copied():
                read.add(f"{path}{name}")
            return found

    Recorded.__name__, Recorded.__qualname__ = kind.__name__, kind.__qualname__
    copy = object.__new__(Recorded)
    for name in names:
        inner = getattr(value, name)
        if is_dataclass(inner):
            inner = _wrapped(inner, f"{path}{name}.", read)
        object.__setattr__(copy, name, inner)
    return copy


def _is_copied() -> bool:
    """Whether ``dataclasses.replace`` asks, whose copy records what is read of it."""
    asking = sys._getframe(2)
    return asking.f_globals.get("__name__") == "dataclasses" and "replace" in asking.f_code.co_name
