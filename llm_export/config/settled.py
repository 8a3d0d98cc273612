"""A composed recipe holds values of the schema's own types, so that checks need not ask.

OmegaConf converts scalars, but not the items of lists in lists, and takes any block that a
reference puts in the place of another one.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from llm_export.config.number_ranges import require_number
from llm_export.config.plain_words import kind_words
from llm_export.config.shared_recipe import PATHS
from llm_export.errors import RecipeError, excerpt

_PATHS = {".".join(key) for key in PATHS} | {"out"}
_MAX_PATH, _MAX_NAME = 4000, 255  # bytes, of a path and of a name in it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=,-]*")


def require_settled(recipe: Any) -> None:
    """Check each value's type, and that paths can be names of files.

    Args:
        recipe: a ``Recipe``.

    Raises:
        RecipeError: naming the key, and what it takes.
    """
    for key, value, hint in _leaves(recipe, ""):
        if not _is_of(value, hint):
            raise RecipeError(
                f"the value {excerpt(value)} is of another kind", where=key,
                fix=f"{key} takes {kind_words(hint)}",
            )  # fmt: skip
        if isinstance(value, str):
            _require_text(key, value)
        for number in value if isinstance(value, list) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                require_number(key, number)


def _leaves(node: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    kind: Any = type(node)
    hints = _hints(kind)
    for field in fields(node):
        key, value, hint = f"{prefix}{field.name}", getattr(node, field.name), hints[field.name]
        if is_dataclass(value) and _is_of(value, hint):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value, hint


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_is_of(value, option) for option in inner)
    if origin is list:
        return isinstance(value, list) and all(_is_of(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is_of(key, inner[0]) for key in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _require_text(key: str, value: str) -> None:
    problem = None
    if "\0" in value:
        problem = "contains a null character"
    elif key in _PATHS:
        data = value.encode("utf-8", "surrogateescape")
        if len(data) > _MAX_PATH or max(map(len, data.split(b"/"))) > _MAX_NAME:
            problem = "is too long for the name of a file"
    if problem:
        raise RecipeError(f"the value {excerpt(value)} {problem}", where=key)


def require_name(recipe: Any) -> None:
    """Raise RecipeError if the recipe's name is not valid as a folder name."""
    if not _NAME.fullmatch(recipe.name):
        raise RecipeError(
            f"'{recipe.name}' cannot name a bundle",
            where="name",
            fix="letters, digits and . _ + = , - only, beginning with a letter or digit",
        )
