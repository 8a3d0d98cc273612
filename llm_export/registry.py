"""Names to objects, without importing anything until an entry is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from llm_export.errors import RecipeError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Lazy ``name -> "module:attribute"`` entries.

    A name claimed twice raises and tells both origins; an unknown name raises with the
    nearest one.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, target: str, origin: str = "llm_export") -> None:
        """Add ``target`` ("module:attribute") under ``name``.

        Raises:
            RecipeError: the name is taken, with both origins.
        """
        if name in self._entries:
            raise RecipeError(
                f"two providers claim the {self.kind} '{name}'",
                where=f"{self._origins[name]} and {origin}",
                fix="uninstall one of them",
            )
        self._entries[name] = target
        self._origins[name] = origin

    def get(self, name: str) -> T:
        """Import and return the entry.

        Raises:
            RecipeError: unknown name.
        """
        if name not in self._entries:
            raise RecipeError(
                f"there is no {self.kind} '{name}'", fix=did_you_mean(name, self._entries)
            )
        module, _, attribute = self._entries[name].partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))

    def origin(self, name: str) -> str:
        return self._origins[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
