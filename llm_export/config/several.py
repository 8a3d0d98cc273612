"""Keys that take a whole number, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.config.quant_schema import require

_NUMBER = {"type": "integer"}
NUMBERS: Mapping[str, Any] = {
    "kind": "int or list of int or null",
    "schema": {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER}, {"type": "null"}]},
}
"""Field metadata: the type of such a key and its JSON Schema, which its type in Python does not
tell (OmegaConf has no unions with lists)."""


def several(value: Any) -> tuple[int, ...]:
    """The numbers, also where it is one; () for null."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def plain(numbers: tuple[int, ...]) -> int | list[int]:
    """As a recipe has it: one as a number."""
    return numbers[0] if len(numbers) == 1 else list(numbers)


def require_numbers(config: object, key: str, *, at_least: int) -> None:
    """Raises ValueError, naming the key, unless it is null, a whole number or a list of them, each
    at least ``at_least``."""
    value = getattr(config, key)
    good = value is None or (
        len(several(value)) > 0 and all(type(n) is int and n >= at_least for n in several(value))
    )
    require(good, key, f"must be a whole number of at least {at_least}, or a list of them", value)
