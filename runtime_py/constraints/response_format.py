"""The forms in which OpenAI's API asks for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.json_schema import JsonSchema, json_object
from runtime_py.errors import ArgumentError, shown

_TYPES = ("text", "json_object", "json_schema")


def response_format(given: Any) -> Constraint | None:
    """The constraint of ``response_format`` of chat completions, or of ``text.format`` of
    responses; None for text. A schema is enforced with ``strict`` and without.

    Raises:
        ArgumentError: it has another form, or its schema cannot be enforced.
    """
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind not in _TYPES:
        raise ArgumentError(
            f"response_format must have a type of {', '.join(_TYPES)}, not {shown(given)}",
            fix='{"type": "json_schema", "json_schema": {"name": "answer", "schema": {...}}}',
        )
    if kind == "text":
        return None
    if kind == "json_object":
        return json_object()
    inner = given.get("json_schema", given)
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if schema is None:
        raise ArgumentError(
            "response_format of type json_schema has no schema",
            fix='{"type": "json_schema", "json_schema": {"name": "answer", "schema": {...}}}',
        )
    return JsonSchema(schema)
