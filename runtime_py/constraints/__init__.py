"""Answers that follow a JSON schema, a regular expression or a grammar, with llguidance."""

from runtime_py.constraints.choice import Choice
from runtime_py.constraints.constraint import Constraint
from runtime_py.constraints.grammar import Grammar
from runtime_py.constraints.json_schema import JsonSchema, json_object
from runtime_py.constraints.regex import Regex
from runtime_py.constraints.response_format import response_format

__all__ = [
    "Choice", "Constraint", "Grammar", "JsonSchema", "Regex", "json_object", "response_format",
]  # fmt: skip
