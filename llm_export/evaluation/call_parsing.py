"""Read the calls of tools in an answer, whatever form the model's template teaches.

Forms: JSON objects with a name and arguments or parameters, alone, in lists or between tags
(Hermes, Qwen, Llama 3, SmolLM3, Granite, Phi-4); a tool's name followed by a JSON object (Mistral,
GLM-4, DeepSeek, gpt-oss); Python calls (LFM2, Llama 4, OLMo 3); tags with the name and one for each
parameter (Qwen3-Coder, Qwen3.5).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_DECODER = json.JSONDecoder()
_BETWEEN = r"[^{}()\n]{0,60}\s*(?:```(?:json)?\s*)?"
"""What may stand between a tool's name and the JSON of its arguments."""
_TAGGED = re.compile(r"<function=([\w.-]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\s*(.*?)\s*</parameter>", re.DOTALL)


@dataclass(frozen=True)
class Call:
    name: str
    arguments: Mapping[str, Any]


def calls_of(text: str, known: Collection[str]) -> list[Call]:
    """The calls of tools with ``known`` names in an answer, of the first form that has any."""
    for form in (_objects, _tagged, _named, _python):
        found = [call for call in form(text, known) if call.name in known]
        if found:
            return found
    return []


def _objects(text: str, known: Collection[str]) -> Iterator[Call]:
    at = 0
    while (at := _next(text, at)) >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        found = list(_in_value(value))
        yield from found
        at = end if found else at + 1


def _next(text: str, at: int) -> int:
    places = [place for mark in "{[" if (place := text.find(mark, at)) >= 0]
    return min(places, default=-1)


def _in_value(value: object) -> Iterator[Call]:
    if isinstance(value, list):
        for item in value:
            yield from _in_value(item)
    if not isinstance(value, dict):
        return
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        arguments = _json(arguments)
    if isinstance(name, str) and isinstance(arguments, dict):
        yield Call(name, arguments)
    else:
        for key in ("function", "tool_calls"):
            yield from _in_value(value.get(key))


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tagged(text: str, known: Collection[str]) -> Iterator[Call]:
    for name, body in _TAGGED.findall(text):
        yield Call(name, {k: _typed(v) for k, v in _PARAMETER.findall(body)})


def _typed(text: str) -> object:
    value = _json(text)
    return text if value is None else value


def _named(text: str, known: Collection[str]) -> Iterator[Call]:
    for match in re.finditer(rf"\b({_any(known)})\b{_BETWEEN}(?={{)", text):
        try:
            value, _ = _DECODER.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield Call(match[1], value)


def _python(text: str, known: Collection[str]) -> Iterator[Call]:
    for match in re.finditer(rf"\b({_any(known)})\(", text):
        for end in (m.end() for m in re.finditer(r"\)", text[match.start() :])):
            try:
                tree = ast.parse(text[match.start() : match.start() + end], mode="eval").body
                assert isinstance(tree, ast.Call)
                arguments = {k.arg: ast.literal_eval(k.value) for k in tree.keywords if k.arg}
            except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError):
                continue
            yield Call(match[1], arguments)
            break


def _any(known: Collection[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
