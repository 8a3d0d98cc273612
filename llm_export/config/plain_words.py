"""What a key of a recipe takes, and what is wrong with a value, in words instead of type names."""

from __future__ import annotations

import inspect
import re
import types
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from llm_export.config.key_trades import example_of
from llm_export.config.schema import Recipe
from llm_export.errors import excerpt

_WORDS = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
_TYPE_NAMES = {"Integer": int, "Float": float}


def kind_words(hint: Any) -> str:
    """What a value of a schema's type is: an integer, a list of numbers, one of some words."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [kind_words(a) for a in get_args(hint) if a is not type(None)]
        return " or ".join([*(["null"] if type(None) in get_args(hint) else []), *inner])
    if get_origin(hint) is list:
        (inner_hint,) = get_args(hint)
        if _is_enum(inner_hint):
            return "a list of " + _members(inner_hint)
        return f"a list of {_MANY.get(inner_hint) or 'mappings'}"
    if is_dataclass(hint):
        return f"a mapping with keys such as {', '.join(f.name for f in fields(hint)[:3])}"
    if get_origin(hint) is dict:
        return "a mapping"
    if _is_enum(hint):
        return "one of " + _members(hint)
    return _WORDS.get(hint, "another kind of value")


def _is_enum(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, Enum)


def _members(hint: Any) -> str:
    return ", ".join(str(member.value) for member in hint)


_MANY = {int: "integers", float: "numbers", bool: "true or false", str: "texts"}


def hint_of(key: str) -> Any:
    """The schema's type at a dotted key, ``None`` below free-form mappings and for no key."""
    hint: Any = Recipe
    for part in key.split("."):
        name, index, _ = part.partition("[")
        hint = block_of(hint)
        hints = get_type_hints(hint) if is_dataclass(hint) else {}
        if name not in hints:
            return None
        hint = hints[name]
        if index:
            hint = next(iter(get_args(hint)), None)
    return hint


def block_of(hint: Any) -> Any:
    """X of X | None."""
    return next((a for a in get_args(hint) if is_dataclass(a)), hint)


def plain_words(message: str, key: str, value: str | None) -> str:
    """What OmegaConf says of a value of the wrong type, without names of types.

    Args:
        message: its first line.
        key: the dotted key, of the schema or not.
        value: what an override gives it; None if it is not known.
    """
    if message == "list index out of range":
        return "the list has no such place"
    if message.endswith((" is not Optional", " is not optional and cannot be assigned None")):
        return "it cannot be null"
    if "missing mandatory value" in message.lower():
        return "it has no value"
    number = re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", message)
    if number and number[2] in _TYPE_NAMES:
        return f"'{number[1]}' is not {_WORDS[_TYPE_NAMES[number[2]]]}"
    if truth := re.match(r"Value '(.*)' is not a valid bool", message):
        return f"'{truth[1]}' is not true or false"
    if choice := re.match(r"Invalid value '(.*)', (expected one of \[.*\])", message):
        return f"there is no '{choice[1]}': {choice[2]}"
    hint = hint_of(key)
    if hint is None:
        return message
    given = re.search(r"value: (.*)$", message)
    shown = value if value is not None else given[1] if given else None
    takes = f"{key} takes {kind_words(hint)}"
    return takes if shown is None else f"{takes}, not {excerpt(shown)}"


def explained(place: str) -> str | None:
    """An example of the key of ``key=value``, or the list that it is in, if it is one of the
    schema's, and the command that explains it."""
    key = place.partition("=")[0].partition("[")[0]
    if key.rpartition(".")[2] not in keys_of(key.rpartition(".")[0]):
        return None
    example = example_of(key)
    explain = f"llm-export explain {key}"
    return f"{example}, for example; {explain}" if example else explain


def keys_of(path: str) -> list[str]:
    """The schema's keys below a dotted path; empty for free-form mappings."""
    node = block_of(hint_of(path)) if path else Recipe
    return [f.name for f in fields(node)] if is_dataclass(node) else []
