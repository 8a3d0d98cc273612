"""Artifacts whose large fields are loaded on first access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Reader = Callable[[], Any]


def lazy(kind: type[T], readers: Mapping[str, Reader], **known: Any) -> T:
    """An instance of the dataclass ``kind`` with lazily loaded fields.

    Args:
        readers: field -> function that loads it, called at most once.
        known: values of the other fields.
    """

    class Lazy(kind):  # type: ignore[valid-type,misc]
        def __getattr__(self, name: str) -> Any:
            # Called only while the instance has no such attribute yet.
            if name not in readers:
                raise AttributeError(name)
            found = readers[name]()
            object.__setattr__(self, name, found)
            return found

    Lazy.__name__ = kind.__name__  # what people read; kind_of goes by the qualified name
    made: T = object.__new__(Lazy)
    for name, value in known.items():
        object.__setattr__(made, name, value)
    return made


def kind_of(artifact: object) -> type:
    """The dataclass that an artifact is of, lazy or not."""
    kind = type(artifact)
    return kind.__mro__[1] if kind.__qualname__.startswith(lazy.__qualname__) else kind


def once(read: Reader) -> Reader:
    """Memoize ``read``: later calls return the first result."""
    found: list[Any] = []

    def again() -> Any:
        if not found:
            found.append(read())
        return found[0]

    return again
