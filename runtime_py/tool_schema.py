"""The JSON schema of a Python function, as chat templates list tools.

Type hints give the types, a docstring in Google style the descriptions. The result is that of
transformers' ``get_json_schema``.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from runtime_py.errors import ArgumentError

Tool = Mapping[str, Any] | Callable[..., Any]


def tool_schemas(tools: Sequence[Tool]) -> list[Mapping[str, Any]]:
    """Schemas as they are, and functions converted to schemas.

    Raises:
        ArgumentError: a tool is neither, or a function lacks type hints or descriptions.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Sequence):
        raise ArgumentError(
            f"tools must be a list of functions or JSON schemas, not {type(tools).__name__}",
            fix="put a single tool into a list",
        )
    return [_schema_of(tool) for tool in tools]


def _schema_of(tool: Tool) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return tool
    if inspect.isfunction(tool) or inspect.ismethod(tool):
        return function_schema(tool)
    raise ArgumentError(
        f"a tool must be a function or a JSON schema, not {type(tool).__name__}",
        where="tools",
        fix="a function with type hints and a docstring, or its schema as a dict",
    )


def function_schema(function: Callable[..., Any]) -> dict[str, Any]:
    """{"type": "function", "function": {"name", "description", "parameters"}}, and "return" if the
    type hints have one.

    Raises:
        ArgumentError: the docstring, a type hint or a description is missing, or a type hint has
            no JSON type.
    """
    name = getattr(function, "__name__", "operation")
    text = inspect.getdoc(function)
    if not text:
        raise _incomplete(name, "has no docstring", "describe it and each argument under Args:")
    about, described, returns = _sections(text.strip())
    hints, signature = _hints(function, name), inspect.signature(function).parameters
    own = next(iter(signature), None)
    if own in ("self", "cls") and signature[own].annotation is inspect.Parameter.empty:
        signature = types.MappingProxyType({k: v for k, v in signature.items() if k != own})
        hints.pop(own, None)
    for each in signature.values():
        if each.annotation is inspect.Parameter.empty:
            raise _incomplete(name, f"has no type hint for '{each.name}'", "add one")
    properties = {}
    for argument, hint in hints.items():
        if argument == "return":
            continue
        if argument not in described:
            raise _incomplete(name, f"does not describe '{argument}'", "a line under Args:")
        properties[argument] = _described(_type_schema(hint, name), described[argument], name)
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    required = [n for n, p in signature.items() if p.default is inspect.Parameter.empty]
    if required:
        parameters["required"] = required
    made: dict[str, Any] = {"name": name, "description": about, "parameters": parameters}
    if "return" in hints:
        made |= _return_schema(hints["return"], returns, name)
    return {"type": "function", "function": made}


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError) as error:
        raise _incomplete(name, f"has a type hint that cannot be read: {error}", "") from None


def _return_schema(hint: Any, text: str | None, name: str) -> dict[str, Any]:
    """Empty for a type without a JSON type: the model never writes the return value."""
    try:
        schema = _type_schema(hint, name)
    except ArgumentError:
        return {}
    return {"return": {**schema, "description": text} if text is not None else schema}


# -- docstrings ----------------------------------------------------------------------------

_END = r"(?:Args:|Returns:|Raises:|\Z)"
_ABOUT = re.compile(rf"^(.*?)[\n\s]*{_END}", re.DOTALL)
_ARGUMENTS = re.compile(r"\n\s*Args:\n(.*?)[\n\s]*(?:Returns:|Raises:|\Z)", re.DOTALL)
_RETURNS = re.compile(r"\n\s*Returns:\n\s*(.*?)[\n\s]*(?:Raises:|\Z)", re.DOTALL)
# A name, a colon, and a text up to the next such line that is not indented deeper.
_ARGUMENT = re.compile(
    r"(?:^|\n)([ \t]*)(\w+):\s*(.*?)\s*(?=\n(?!\1[ \t])[ \t]*\w+:|\Z)", re.DOTALL
)


def _sections(text: str) -> tuple[str | None, dict[str, str], str | None]:
    """(description, argument -> description, description of the return value)."""
    about, arguments, returns = (
        found.group(1) if (found := section.search(text)) else None
        for section in (_ABOUT, _ARGUMENTS, _RETURNS)
    )
    lines = "\n".join(line for line in (arguments or "").split("\n") if line.strip())
    described = {
        name: re.sub(r"\s*\n+\s*", " ", said.strip()) for _, name, said in _ARGUMENT.findall(lines)
    }
    return about and about.strip(), described, returns


_CHOICES = re.compile(r"\(choices:\s*(.*?)\)\s*$", re.IGNORECASE)


def _described(schema: dict[str, Any], text: str, name: str) -> dict[str, Any]:
    """With the description, and an enum if the description ends with (choices: [...])."""
    found = _CHOICES.search(text)
    if not found:
        return {**schema, "description": text}
    try:
        choices = json.loads(found.group(1))
    except ValueError:
        what = f"has choices that are no JSON list: {found.group(1)}"
        raise _incomplete(name, what, '(choices: ["a", "b"])') from None
    stripped = [c.strip() if isinstance(c, str) else c for c in choices]
    return {**schema, "enum": stripped, "description": text[: found.start()].strip()}


# -- type hints ----------------------------------------------------------------------------

_SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_TYPES: dict[Any, dict[str, Any]] = {
    **{kind: {"type": text} for kind, text in _SCALARS.items()},
    list: {"type": "array"}, tuple: {"type": "array"}, dict: {"type": "object"}, Any: {},
}  # fmt: skip


def _type_schema(hint: Any, name: str) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is None and isinstance(hint, type) and issubclass(hint, Enum):
        return _choice([member.value for member in hint], hint, name)
    if origin is Literal:
        return _choice(list(inner), hint, name)
    if origin is None:
        if hint not in _TYPES:
            raise _no_type(hint, name)
        return dict(_TYPES[hint])
    if origin in (Union, types.UnionType):
        return _union(inner, name)
    if origin in _TYPES and not inner:  # List, Tuple and Dict of typing
        return dict(_TYPES[origin])
    if origin is list:
        return {"type": "array", "items": _type_schema(inner[0], name)}
    if origin is tuple:
        if len(inner) == 1 or ... in inner:
            raise _no_type(hint, name)
        return {"type": "array", "prefixItems": [_type_schema(i, name) for i in inner]}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type_schema(inner[1], name)}
    raise _no_type(hint, name)


def _choice(values: list[Any], hint: Any, name: str) -> dict[str, Any]:
    if not values or any(type(value) not in _SCALARS for value in values):
        raise _no_type(hint, name)
    kinds = list(dict.fromkeys(_SCALARS[type(value)] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _union(kinds: tuple[Any, ...], name: str) -> dict[str, Any]:
    parts = [_type_schema(kind, name) for kind in kinds if kind is not type(None)]
    plain = all(set(p) == {"type"} and isinstance(p["type"], str) for p in parts)
    if len(parts) == 1:
        made = parts[0]
    elif plain:
        texts = sorted({p["type"] for p in parts})
        made = {"type": texts[0] if len(texts) == 1 else texts}
    else:
        made = {"anyOf": parts}
    return {**made, "nullable": True} if type(None) in kinds else made


def _no_type(hint: Any, name: str) -> ArgumentError:
    return _incomplete(
        name, f"has a type hint without a JSON type: {hint}",
        "int, float, str, bool, Enum, Literal, or list, tuple, dict and unions of them; or write "
        "the schema by hand",
    )  # fmt: skip


def _incomplete(name: str, what: str, fix: str) -> ArgumentError:
    return ArgumentError(f"the tool '{name}' {what}", where="tools", fix=fix or None)
