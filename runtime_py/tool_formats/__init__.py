"""The forms in which models call tools: one file for each, with a ``FORMAT``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError
from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats import hermes, qwen_xml
from runtime_py.tool_formats.base import ToolFormat

FORMATS: tuple[ToolFormat, ...] = (qwen_xml.FORMAT, hermes.FORMAT)
"""The first that reads back a call which a template has rendered is its format."""

_ASKED = "qzUuq"
_PROBE = ToolCall("qzNnq", {"x": "qzXxq"}, id="abcdefghi")
_SCHEMAS: Schemas = {
    _PROBE.name: {
        "type": "object",
        "properties": {"x": {"type": "string", "description": "A text."}},
        "required": ["x"],
    }
}
_TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "A tool.", "parameters": schema},
    }
    for name, schema in _SCHEMAS.items()
]


def tool_format(template: ChatTemplate, source: str) -> ToolFormat | None:
    """The format of calls that a chat template renders, or else of those that its text or its
    prompt describes.

    Args:
        source: Jinja source of the template.
    """
    texts = [text.rpartition(_ASKED)[2] for text in _rendered(template)]
    for text in texts:
        found = next((each for each in FORMATS if _reads(each, text)), None)
        if found is not None:
            return found
    return next((f for f in FORMATS if any(b in source for b in f.begins)), None)


def _reads(format: ToolFormat, text: str) -> bool:
    """Whether the probe can be read back."""
    from runtime_py.answer_parser import TaggedParser

    # What goes before the call is the beginning of the turn: a call that leads comes after it.
    at = text.find(_PROBE.name)
    starts = [text.rfind(begin, 0, at) for begin in (*format.begins, *format.leads)]
    start = max(starts, default=-1)
    if at < 0 or start < 0:
        return False
    parser = TaggedParser(None, format, _SCHEMAS)
    deltas = parser.push(text[start:]) or parser.finish()
    made = next((delta.call for delta in deltas if delta.call), None)
    return made is not None and (made.name, made.arguments) == (_PROBE.name, _PROBE.arguments)


def _rendered(template: ChatTemplate) -> Iterator[str]:
    """A conversation with a call of a tool, in each form that some template needs."""
    user = {"role": "user", "content": _ASKED}
    system = {"role": "system", "content": "You are a helpful assistant."}
    for opening, content, text in product(([user], [system, user]), ("", None), (False, True)):
        call: dict[str, Any] = {
            "role": "assistant", "content": content, "tool_calls": [_PROBE.as_dict(text=text)]
        }  # fmt: skip
        try:
            made = template.render([*opening, call], tools=_TOOLS, add_generation_prompt=False)
        except BundleRuntimeError:
            continue
        if _PROBE.name in made.rpartition(_ASKED)[2]:
            yield made
