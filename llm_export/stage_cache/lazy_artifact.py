"""Artifacts of which the heavy parts are read when a stage first looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Reader = Callable[[], Any]


def lazy(kind: type[T], readers: Mapping[str, Reader], **known: Any) -> T:
    """An instance of the dataclass ``kind`` of which ``known`` is there already.

    Args:
        readers: of the other fields; each is called once at most.
    """

    class Lazy(kind):  # type: ignore[valid-type,misc]
        def __getattr__(self, name: str) -> Any:
            # Reached only where the instance has no such attribute yet.
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
    """``read``, whose first result is given again."""
    found: list[Any] = []

    def again() -> Any:
        if not found:
            found.append(read())
        return found[0]

    return again
