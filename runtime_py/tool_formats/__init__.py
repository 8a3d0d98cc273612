"""The forms in which models call tools: one file for each, with a ``FORMAT``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError
from runtime_py.tool_calls import Schemas, ToolCall
from runtime_py.tool_formats import (
    command,
    deepseek,
    function_gemma,
    gemma4,
    glm,
    granite,
    harmony,
    hermes,
    hunyuan,
    lfm2,
    llama_json,
    mistral,
    mistral_args,
    nemotron,
    olmo3,
    phi4_mini,
    pythonic,
    qwen_xml,
)
from runtime_py.tool_formats.base import ToolFormat

FORMATS: tuple[ToolFormat, ...] = (
    hermes.FORMAT, qwen_xml.FORMAT, glm.FORMAT, hunyuan.FORMAT, mistral.FORMAT,
    mistral_args.FORMAT, lfm2.FORMAT, olmo3.FORMAT, gemma4.FORMAT, function_gemma.FORMAT,
    phi4_mini.FORMAT, granite.FORMAT, nemotron.FORMAT, command.FORMAT, deepseek.FORMAT,
    harmony.FORMAT, llama_json.FORMAT, pythonic.FORMAT,
)  # fmt: skip
"""The first that reads back a call which a template has rendered is its format."""

_ASKED = "qzUuq"
_BRACKET = re.compile(r"[)\]}]")
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


def tool_format(template: ChatTemplate, tokens: Collection[str] = ()) -> ToolFormat | None:
    """The format of calls that a chat template renders, or else of those that it describes, or that
    a tokenizer has tokens for.

    Args:
        tokens: texts of the tokenizer's added tokens.
    """
    for text in _rendered(template):
        found = next((each for each in FORMATS if _reads(each, text)), None)
        if found is not None:
            return found
    marked = [each for each in FORMATS if each.begins]
    told = (f for f in marked if any(begin in template.source for begin in f.begins))
    known = (f for f in marked if {*f.begins, *filter(None, [f.end])} <= {*tokens})
    return next(told, None) or next(known, None)


def _reads(format: ToolFormat, text: str) -> bool:
    """Whether the probe can be read back from a turn."""
    at = text.find(_PROBE.name)
    start = max(text.rfind(begin, 0, at) for begin in (*format.begins, *format.leads))
    if start < 0:
        return False
    # Without an end of its own, a call goes up to the end of the turn, whose text is not known.
    cuts = [len(text)] if format.end else [m.end() for m in _BRACKET.finditer(text, at)][::-1]
    return any(_made(format, text[start:cut]) for cut in cuts)


def _made(format: ToolFormat, text: str) -> bool:
    begin = next(b for b in (*format.begins, *format.leads) if text.startswith(b))
    body = text.removeprefix(begin)
    body = body.partition(format.end)[0] if format.end else body
    try:
        calls = format.parse(begin + body if format.whole else body, _SCHEMAS)
    except ValueError:
        return False
    made = [(call.name, call.arguments) for call in calls]
    return (not format.end or format.end in text) and made == [(_PROBE.name, _PROBE.arguments)]


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
        turn = made.rpartition(_ASKED)[2]
        if _PROBE.name in turn:
            yield turn
