"""A recipe that remembers which of its keys are read."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from typing import Any

from llm_export.config.schema import Recipe


def recording(recipe: Recipe, read: set[str]) -> Recipe:
    """A copy of ``recipe`` that adds the path of every value that is read of it to ``read``,
    also through copies that ``dataclasses.replace`` makes of it."""
    made: Recipe = _wrapped(recipe, "", read)
    read.clear()
    return made


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
