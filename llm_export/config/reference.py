"""Reference of all recipe keys, from the docstrings of the schema.

Python does not keep docstrings of fields, so the source is parsed, once.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, get_args, get_origin, get_type_hints

from llm_export.config import schema


def _classes(cls: Any) -> Iterator[type]:
    """A schema class, and those of its fields, to any depth."""
    yield cls
    for hint in get_type_hints(cls).values():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner):
                yield from _classes(inner)


@lru_cache(maxsize=1)
def _field_docs() -> dict[tuple[str, str], str]:
    """(class, field) -> the string literal below the field."""
    docs: dict[tuple[str, str], str] = {}
    modules = dict.fromkeys(inspect.getmodule(cls) for cls in _classes(schema.Recipe))
    nodes = [n for m in modules if m for n in ast.parse(inspect.getsource(m)).body]
    for node in nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                text = " ".join(str(following.value.value).split())
                docs[(node.name, statement.target.id)] = text
    return docs


def field_text(cls: Any, name: str) -> str:
    """The docstring of a field of a schema class; empty if it has none."""
    return _field_docs().get((cls.__name__, name), "")


def describe_group(group: str) -> list[tuple[str, str, str]]:
    """(key, type, meaning) of every key of a group; nested keys are dotted."""
    hints = get_type_hints(schema.Recipe)
    return _describe(hints[group], "")


def _describe(cls: Any, prefix: str) -> list[tuple[str, str, str]]:
    rows = []
    hints = get_type_hints(cls)
    for field in fields(cls):
        hint = hints[field.name]
        if is_dataclass(hint):
            rows += _describe(hint, f"{prefix}{field.name}.")
            continue
        text = field_text(cls, field.name)
        inner = next((a for a in get_args(hint) if is_dataclass(a)), None)
        optional = inner is not None and get_origin(hint) is not list
        kind = "mapping or null" if optional else field.metadata.get("kind") or type_name(hint)
        rows.append((prefix + field.name, kind, text))
        if optional:
            rows += _describe(inner, f"{prefix}{field.name}.")
    return rows


def type_name(hint: Any) -> str:
    """A readable name of a type."""
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return " | ".join(str(member.value) for member in hint)
    if get_origin(hint) is list:
        return f"list of {type_name(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return "mapping"
    arguments = [a for a in get_args(hint) if a is not type(None)]
    if len(arguments) < len(get_args(hint)):
        return f"{type_name(arguments[0])} or null"
    return str(getattr(hint, "__name__", hint))


REQUIRED = object()
"""Marks a key without default."""


def default_of(key: str) -> Any:
    """The schema's default of a key; REQUIRED if it has none.

    Raises:
        KeyError: there is no such key.
    """
    node: Any = schema.Recipe()
    *parents, leaf = key.split(".")
    for name in parents:
        value = getattr(node, name, None)
        if not is_dataclass(value):  # null, of a class that has defaults of its own
            cls = node if isinstance(node, type) else type(node)
            hint = get_type_hints(cls).get(name) if is_dataclass(cls) else None
            value = next((a for a in get_args(hint) if is_dataclass(a)), None)
        node = value
    found = {f.name: f for f in fields(node)}.get(leaf) if is_dataclass(node) else None
    if found is None:
        raise KeyError(key)
    if not isinstance(node, type):
        value = getattr(node, leaf)
        return REQUIRED if value == "???" else value
    if found.default_factory is not MISSING:
        return found.default_factory()
    return REQUIRED if found.default in (MISSING, "???") else found.default


def every_key() -> list[tuple[str, str, str]]:
    """(key, type, meaning) of every key of a recipe."""
    rows = []
    hints = get_type_hints(schema.Recipe)
    for field in fields(schema.Recipe):
        if is_dataclass(hints[field.name]):
            rows += [(f"{field.name}.{k}", t, m) for k, t, m in describe_group(field.name)]
        else:
            text = field_text(schema.Recipe, field.name)
            rows.append((field.name, type_name(hints[field.name]), text))
    return rows
