"""What can be enforced of the schema of a tool's arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runtime_py.constraints.json_schema import with_whitespace
from runtime_py.constraints.library import llguidance


def json_of(schema: Mapping[str, Any]) -> str:
    """An expression for JSON of a schema, in Lark. What cannot be enforced is left out: an
    application checks the arguments of a call before it uses them.
    """
    return f"%json {_enforced(json.dumps(schema))}"


@lru_cache(maxsize=256)
def _enforced(schema: str) -> str:
    return json.dumps(_with_options(_relaxed(json.loads(schema))))


def _relaxed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema; or one of its properties of which each can be enforced; or its type alone."""
    if _works(schema):
        return schema
    kind = schema.get("type")
    properties = schema.get("properties")
    if kind == "object" and isinstance(properties, Mapping):
        shared: dict[str, Any] = {
            key: schema[key] for key in ("$defs", "definitions") if key in schema
        }
        kept = {
            name: value if isinstance(value, dict) and _works({**shared, **value}) else {}
            for name, value in properties.items()
        }
        made: dict[str, Any] = {**shared, "type": "object", "properties": kept}
        made |= {key: schema[key] for key in ("required", "additionalProperties") if key in schema}
        if _works(made):
            return made
    simple = {"type": kind}
    return simple if kind is not None and _works(simple) else {}


def _works(schema: Mapping[str, Any]) -> bool:
    library = llguidance().LLMatcher
    try:
        grammar = library.grammar_from_json_schema(json.dumps(_with_options(schema)))
    except ValueError:
        return False
    return not library.validate_grammar_with_warnings(grammar)[0]


def _with_options(schema: Mapping[str, Any]) -> dict[str, Any]:
    given = schema.get("x-guidance")
    own = given if isinstance(given, Mapping) else {}
    options = {"lenient": True, "coerce_one_of": True, **own}
    return dict(with_whitespace({**schema, "x-guidance": options}, False))
