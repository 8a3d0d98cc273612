"""Names to objects, without importing anything until an entry is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from llm_export.errors import MissingDependencyError, RecipeError, did_you_mean
from llm_export.plugins.active import subscribe

T = TypeVar("T")

OWN = "llm_export"
"""The origin of what this program brings itself."""


class Registry(Generic[T]):
    """Lazy ``name -> "module:attribute"`` entries.

    A name claimed twice raises and tells both origins; an unknown name raises with the
    nearest one.

    Args:
        needs: attributes without which a plugin's entry is not of this kind.
    """

    def __init__(self, kind: str, needs: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._needs = needs
        self._entries: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, target: str, origin: str = OWN) -> None:
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

    def take_from_plugins(self, kind: str, attribute: str = "") -> None:
        """Add what plugins bring, those of this process so far and later ones. Call it after the
        program's own names are registered: these are never replaced.

        Args:
            kind: field of ``Plugin`` that holds the names.
            attribute: of the entry's module that is registered in place of the entry itself; a
                name that is taken is then no clash, as the entry's own registry reports it.
        """

        def consume(name: str, target: str, origin: str) -> str | None:
            if name in self._entries:
                return self._origins[name]
            module = target.partition(":")[0]
            self.register(name, f"{module}:{attribute}" if attribute else target, origin)
            return None

        subscribe(kind, "" if attribute else self.kind, consume)

    def get(self, name: str) -> T:
        """Import and return the entry.

        Raises:
            RecipeError: unknown name.
            MissingDependencyError: a plugin's entry cannot be imported, or is not of this kind.
        """
        if name not in self._entries:
            raise RecipeError(
                f"there is no {self.kind} '{name}'", fix=did_you_mean(name, self._entries)
            )
        if self._origins[name] == OWN:
            return cast(T, self._load(name))
        try:
            found = self._load(name)
        except Exception as error:
            raise self._broken(name, f"{type(error).__name__}: {error}") from error
        lacking = [need for need in self._needs if not hasattr(found, need)]
        if lacking:
            raise self._broken(name, f"a {type(found).__name__} has no '{lacking[0]}'")
        return cast(T, found)

    def _load(self, name: str) -> object:
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def _broken(self, name: str, why: str) -> MissingDependencyError:
        return MissingDependencyError(
            f"the {self.kind} '{name}' cannot be used: {why.splitlines()[0]}",
            where=f"{self._entries[name]} of {self._origins[name]}",
            fix="repair or uninstall that plugin; llm-export doctor tries them all",
        )

    def sound(self) -> Iterator[str]:
        """Names whose entries can be used, sorted: what surveys walk, so that a plugin that
        cannot be imported takes none of the others with it."""
        return (name for name in self if self.fault(name) is None)

    def fault(self, name: str) -> MissingDependencyError | None:
        """Why the entry of a plugin cannot be used; None if it can, or is not a plugin's."""
        if self._origins[name] == OWN:
            return None
        try:
            self.get(name)
        except MissingDependencyError as error:
            return error
        return None

    def in_order(self) -> list[str]:
        """Names in the order of registration."""
        return list(self._entries)

    def target(self, name: str) -> str:
        """The "module:attribute" of a name."""
        return self._entries[name]

    def origin(self, name: str) -> str:
        return self._origins[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
