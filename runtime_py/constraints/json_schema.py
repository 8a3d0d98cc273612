"""Answers that are JSON of a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.library import check
from runtime_py.errors import ArgumentError, shown

_WHITESPACE = r" ?|\n[ \t]{0,20}"
"""As llama.cpp's JSON grammars: a model that loops on white space would never end."""


class JsonSchema(Constraint):
    """JSON that a JSON Schema (draft 2020-12 and earlier) accepts.

    Args:
        schema: a mapping, its JSON text, or a class with ``model_json_schema``, as of pydantic.
        compact: no white space between tokens of JSON. Shorter, and more of it is fed without
            being sampled; if not, the model chooses between a space, a new line with indentation,
            and none.

    Raises:
        ArgumentError: it is no schema, nothing satisfies it, or it has keywords that llguidance
            does not support; the message names them with their places.
    """

    def __init__(self, schema: Any, *, compact: bool = False) -> None:
        self.schema = _read(schema)
        if not isinstance(compact, bool):
            raise ArgumentError(f"compact must be true or false, not {shown(compact)}")
        self.compact = compact
        _check_schema(self.schema)
        check_support(self.schema, self.grammar)

    def rule(self) -> dict[str, Any]:
        return {"json_schema": with_whitespace(self.schema, self.compact)}


def json_object() -> JsonSchema:
    """Any JSON object."""
    return JsonSchema({"type": "object"})


def with_whitespace(schema: Any, compact: bool) -> Any:
    """The schema with llguidance's options for white space; the schema's own come first."""
    if not isinstance(schema, Mapping):
        return schema
    own = schema.get("x-guidance", {})
    ours = {"whitespace_flexible": False} if compact else {"whitespace_pattern": _WHITESPACE}
    return {**schema, "x-guidance": {**ours, **(own if isinstance(own, Mapping) else {})}}


def _read(schema: Any) -> Any:
    if callable(getattr(schema, "model_json_schema", None)):
        schema = schema.model_json_schema()
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise ArgumentError(f"the JSON schema is not valid JSON: {error}") from None
    if not isinstance(schema, Mapping | bool):
        raise ArgumentError(
            f"a JSON schema must be a mapping or its JSON text, not {shown(schema)}",
            fix='JsonSchema({"type": "object", "properties": {"name": {"type": "string"}}})',
        )
    try:
        return json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"the JSON schema is not valid JSON: {error}") from None


def _check_schema(schema: Any) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        raise ArgumentError(
            f"the JSON schema is not valid at {error.json_path}: {error.message}",
            fix="see https://json-schema.org/draft/2020-12",
        ) from None


def check_support(schema: Any, grammar: str) -> None:
    """Raises ArgumentError with the places of keywords that llguidance names in its refusal."""
    try:
        check("the JSON schema", grammar, "a schema without what is named here")
    except ArgumentError as error:
        named = re.search(r"Unimplemented keys: (\[.*?\])", error.what)
        if named is None:
            raise
        keys = set(json.loads(named[1]))
        places = ", ".join(_places(schema, keys)) or ", ".join(sorted(keys))
        raise ArgumentError(
            f"the JSON schema has keywords that cannot be enforced: {places}",
            fix="leave them out, and check the answer for them afterwards",
        ) from None


def _places(schema: Any, keys: set[str], at: str = "#") -> Iterator[str]:
    """JSON pointers of keywords; those under ``properties`` are names, no keywords."""
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from _places(each, keys, f"{at}/{index}")
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in keys:
                yield f"{at}/{key}"
            elif key in _NAMES and isinstance(value, dict):
                for name, each in value.items():
                    yield from _places(each, keys, f"{at}/{key}/{name}")
            elif key not in _VALUES:
                yield from _places(value, keys, f"{at}/{key}")


_NAMES = ("properties", "patternProperties", "$defs", "definitions")
_VALUES = ("enum", "const", "default", "examples")
