"""``{"name": ..., "parameters": {...}}`` as the whole answer, also after ``<|python_tag|>``:
Llama 3."""

from __future__ import annotations

import json

from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats.base import ToolFormat, json_calls, json_value

_TAG = "<|python_tag|>"
_DECODER = json.JSONDecoder()


def _parse(text: str, schemas: Schemas) -> list[ToolCall]:
    """Objects, which the model separates with semicolons."""
    rest, calls = text.removeprefix(_TAG).strip(), []
    while rest:
        try:
            value, end = _DECODER.raw_decode(rest)
        except ValueError:
            value, end = json_value(rest), len(rest)
        calls += json_calls(value)
        rest = rest[end:].lstrip("; \n\t")
    if not calls:
        raise ValueError("there is no call in it")
    return calls


FORMAT = ToolFormat(
    "llama_json", begins=(_TAG,), end="", parse=_parse,
    opening=lambda name: f'{{"name": {json.dumps(name)}, "parameters": ',
    leads=("{",), whole=True,
)  # fmt: skip
