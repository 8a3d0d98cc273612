"""Compare two resolved recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.config.recipe_files import resolved
from llm_export.config.schema import Recipe

ABSENT = object()
_NAMES = ("name", "description")


@dataclass(frozen=True)
class Difference:
    """A key whose values differ; a side without the key is ABSENT."""

    key: str
    left: Any
    right: Any


def differences(left: Recipe, right: Recipe) -> list[Difference]:
    """The keys that differ, in the order of the schema. Names and descriptions are ignored."""
    return plain_differences(resolved(left), resolved(right))


def plain_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """The same for the bodies of two recipes, which may be of earlier versions."""
    found = _walk("", dict(left), dict(right))
    return [one for one in found if one.key.rpartition(".")[2] not in _NAMES]


def _walk(path: str, left: Any, right: Any) -> Iterator[Difference]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            yield from _walk(
                f"{path}.{key}" if path else str(key), left.get(key, ABSENT), right.get(key, ABSENT)
            )
    elif isinstance(left, list) and isinstance(right, list):
        for index in range(max(len(left), len(right))):
            sides = [side[index] if index < len(side) else ABSENT for side in (left, right)]
            yield from _walk(f"{path}[{index}]", *sides)
    elif left != right or (type(left) is bool) != (type(right) is bool):
        yield Difference(path, left, right)
