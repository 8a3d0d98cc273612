"""The syntaxes in which models write the arguments of a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime_py.constraints.lark import Lark
from runtime_py.constraints.relaxed import json_of

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class ArgumentSyntax:
    """
    Attributes:
        example: how {"x": "qz"} is written.
        expression: (grammar, schema of an object) -> an expression for the arguments.
        after: what follows them in each call.
    """

    example: str
    expression: Callable[[Lark, Schema], str]
    after: str = ""


def _json(lark: Lark, schema: Schema) -> str:
    # A function takes no arguments of other names.
    return json_of({"type": "object", "additionalProperties": False, **schema})


@dataclass(frozen=True)
class _Keywords:
    """``KEY=VALUE, KEY=VALUE``"""

    between: str
    comma: str

    def __call__(self, lark: Lark, schema: Schema) -> str:
        return _joined(lark, schema, self._one, lark.literal(self.comma))

    def _one(self, lark: Lark, name: str, value: Schema) -> str:
        return f"{lark.literal(name + self.between)} {json_of(value)}"


@dataclass(frozen=True)
class _Marked:
    """``KEY:VALUE,KEY:VALUE`` with texts between marks, also within lists and objects."""

    mark: str

    def __call__(self, lark: Lark, schema: Schema) -> str:
        return _joined(lark, schema, self._one, lark.literal(","))

    def _one(self, lark: Lark, name: str, value: Schema) -> str:
        return f"{lark.literal(name + ':')} {self._value(lark, value)}"

    def _value(self, lark: Lark, schema: Schema) -> str:
        mark = lark.literal(self.mark)
        choices = schema.get("enum")
        if isinstance(choices, list) and all(isinstance(each, str) for each in choices):
            return f"{mark} ({' | '.join(lark.literal(each) for each in choices)}) {mark}"
        if schema.get("type") == "string":
            return f"{mark} {lark.until(self.mark)}"
        items = schema.get("items")
        if schema.get("type") == "array" and isinstance(items, Mapping):
            item = lark.rule(self._value(lark, items), "item")
            return f'"[" ({item} ("," {item})*)? "]"'
        if schema.get("type") == "object" and "properties" in schema:
            return f'"{{" {self(lark, schema)} "}}"'
        return json_of(schema)


@dataclass(frozen=True)
class _Tagged:
    """A text between tags for each argument; those that are not texts are JSON."""

    before: str
    between: str
    after: str

    def __call__(self, lark: Lark, schema: Schema) -> str:
        return _joined(lark, schema, self._one, "")

    def _one(self, lark: Lark, name: str, value: Schema) -> str:
        opening = lark.literal(f"{self.before}{name}{self.between}")
        choices = value.get("enum")
        if isinstance(choices, list) and all(isinstance(each, str) for each in choices):
            options = " | ".join(lark.literal(each + self.after) for each in choices)
            return f"{opening} ({options})"
        if value.get("type") == "string":
            tag = self.after.strip()
            rest = self.after.lstrip().removeprefix(tag)
            return f"{opening} {lark.until(tag)} {lark.literal(rest)}"
        return f"{opening} {json_of(value)} {lark.literal(self.after)}"


def _joined(lark: Lark, schema: Schema, one: Callable[[Lark, str, Schema], str], comma: str) -> str:
    """The required arguments in the order of the schema, then any of the others in their order."""
    given = schema.get("properties")
    properties = given if isinstance(given, Mapping) else {}
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    asked = schema.get("required")
    required = [name for name in properties if isinstance(asked, list) and name in asked]
    rules = {
        name: lark.rule(one(lark, name, {**shared, **value}), "argument")
        for name, value in properties.items()
        if isinstance(value, Mapping)
    }
    needed = [rules[name] for name in required if name in rules]
    others = [rule for name, rule in rules.items() if name not in required]
    optional = " ".join(f"({comma} {rule})?" for rule in others)
    if needed:
        return f"{f' {comma} '.join(needed)} {optional}"
    return _some(others, comma)


def _some(rules: Sequence[str], comma: str) -> str:
    """Any of them in their order, with commas between; or none."""
    starts = [
        " ".join([rule, *(f"({comma} {later})?" for later in rules[at + 1 :])])
        for at, rule in enumerate(rules)
    ]
    return f"({' | '.join(starts)})?" if starts else '""'


_MARKS = ("<escape>", '<|"|>')

SYNTAXES = (
    ArgumentSyntax('{"x": "qz"}', _json),
    ArgumentSyntax('x="qz"', _Keywords("=", ", ")),
    ArgumentSyntax(
        "<parameter=x>\nqz\n</parameter>\n",
        _Tagged("<parameter=", ">\n", "\n</parameter>\n"), "</function>\n",
    ),
    ArgumentSyntax(
        "<arg_key>x</arg_key>\n<arg_value>qz</arg_value>\n",
        _Tagged("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
    ),
    *(ArgumentSyntax(f"x:{mark}qz{mark}", _Marked(mark)) for mark in _MARKS),
)  # fmt: skip
"""The first in which a format reads a call back is the format's."""
