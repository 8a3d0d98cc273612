"""Lazy registries: map names to objects that are imported on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from llm_export.errors import MissingDependencyError, RecipeError, did_you_mean
from llm_export.plugins.active import subscribe

T = TypeVar("T")

OWN = "llm_export"
"""The origin of entries that llm_export itself registers."""


class Registry(Generic[T]):
    """Lazy ``name -> "module:attribute"`` entries.

    Registering a name twice raises an error with both origins; looking up an unknown name raises
    an error with the nearest known name.

    Args:
        kind: what the entries are, for error messages.
        needs: attributes that a plugin's entry must have.
    """

    def __init__(self, kind: str, needs: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._needs = needs
        self._entries: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, target: str, origin: str = OWN) -> None:
        """Add ``target`` ("module:attribute") under ``name``.

        Raises:
            RecipeError: the name is already registered; the message has both origins.
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
        """Add the entries of plugins: of those already activated in this process and of later
        ones. Call it after the built-in names are registered: these are never replaced.

        Args:
            kind: field of ``Plugin`` that holds the names.
            attribute: attribute of the entry's module to register instead of the entry itself.
                Duplicate names are then not reported here, because the entry's own registry
                reports them.
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
            MissingDependencyError: a plugin's entry cannot be imported, or lacks an attribute of
                ``needs``.
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
        # Checks look thousands up: a table is read faster than an import finds its module.
        return getattr(sys.modules.get(module) or importlib.import_module(module), attribute)

    def _broken(self, name: str, why: str) -> MissingDependencyError:
        return MissingDependencyError(
            f"the {self.kind} '{name}' cannot be used: {why.splitlines()[0]}",
            where=f"{self._entries[name]} of {self._origins[name]}",
            fix="repair or uninstall that plugin; llm-export doctor tries them all",
        )

    def sound(self) -> Iterator[str]:
        """Names whose entries can be imported, sorted. Use it to iterate over all entries, so that
        one broken plugin does not affect the others."""
        return (name for name in self if self.fault(name) is None)

    def fault(self, name: str) -> MissingDependencyError | None:
        """Why a plugin's entry cannot be used; None if it can, or if it is a built-in entry."""
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
