"""JSON Schema of recipe files, generated from the dataclasses, for completion in editors."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from llm_export.config.recipe_files import plain
from llm_export.config.reference import field_text
from llm_export.config.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {"type": "string", "pattern": r"^\$\{[\w.]+\}$"}
"""An interpolation ${group.key}, which is allowed for any value."""
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"anyOf": [{"type": "boolean"}, _REFERENCE]},
    int: {"anyOf": [{"type": "integer"}, _REFERENCE]},
    float: {"anyOf": [{"type": "number"}, _REFERENCE]},
}


def recipe_schema(options: dict[str, list[str]]) -> dict[str, Any]:
    """JSON Schema of a recipe file.

    Args:
        options: group -> names of its options, which ``defaults`` may choose.
    """
    body = _object(Recipe)
    del body["properties"]["out"]  # set on the command line only
    body["properties"] = {"defaults": _defaults(options), **body["properties"]}
    return {"$schema": DIALECT, "title": "llm_export recipe", **body}


def option_schema(group: str) -> dict[str, Any]:
    """JSON Schema of an option file of a group. That of a model has a checkpoint block too."""
    body = _object(get_type_hints(Recipe)[group])
    if group == "model":
        keys = ("checkpoint", "model")
        body["properties"] = {k: v for k, v in _object(Recipe)["properties"].items() if k in keys}
    body["properties"]["defaults"] = {"type": "array"}
    return {"$schema": DIALECT, "title": f"llm_export {group} option", **body}


def _defaults(options: dict[str, list[str]]) -> dict[str, Any]:
    choices = [
        {
            "type": "object",
            "properties": {
                key: {"anyOf": [{"enum": [*names, None]}, {"type": "string"}]}
                for key in (f"override {group}", group)
            },
            "additionalProperties": False,
        }
        for group, names in options.items()
    ]
    return {
        "description": "One choice a group, on top of export_base.",
        "type": "array",
        "items": {"anyOf": [{"type": "string"}, *choices]},
    }


def _object(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    found = {}
    for field in fields(cls):
        described = field.metadata.get("schema") or _type(hints[field.name])
        text = field_text(cls, field.name)
        if not text and is_dataclass(hints[field.name]):
            text = inspect.cleandoc(hints[field.name].__doc__ or "").splitlines()[0]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default not in (MISSING, "???") and not is_dataclass(default):
            described = {**described, "default": plain(default)}
        found[field.name] = {"description": text, **described} if text else described
    return {"type": "object", "properties": found, "additionalProperties": False}


def _type(hint: Any) -> dict[str, Any]:
    if is_dataclass(hint):
        return _object(hint)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return {"anyOf": [{"enum": [member.value for member in hint]}, _REFERENCE]}
    if hint in _SCALARS:
        return _SCALARS[hint]
    if get_origin(hint) is list:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object"}
    arguments = get_args(hint)
    if type(None) in arguments:
        inner = [_type(a) for a in arguments if a is not type(None)]
        return {"anyOf": [*inner, {"type": "null"}]}
    return {}
