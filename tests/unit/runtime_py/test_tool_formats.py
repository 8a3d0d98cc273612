"""Calls of tools are read back from what the templates of many families write."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from chat_templates import TEMPLATES
from chat_templates_tools import FORMAT_OF, TOOL_TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_py.answer_parser import TaggedParser, parsed
from runtime_py.chat_template import ChatTemplate
from runtime_py.reasoning import ReasoningFormat, reasoning_format
from runtime_py.stats import Generation
from runtime_py.tool_calls import Schemas, ToolCall, argument_schema, typed_value
from runtime_py.tool_formats import FORMATS, tool_format
from runtime_py.tool_formats.base import ToolFormat

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
PUBLISHED = {
    "llama3_tools": ("llama_json", None), "mistral_tools": ("mistral", None),
    "qwen25": ("hermes", None), "qwen3": ("hermes", "think"), "qwen3_5": ("qwen_xml", "think"),
    "granite": ("granite", None), "gpt_oss": ("harmony", "harmony"),
    "hermes_tools": ("hermes", None), "smollm3": (None, "think"), "deepseek": (None, "think"),
    "nemotron": (None, "think"),
}  # fmt: skip
"""Name of a template -> its formats of calls and of reasoning; the others have neither."""
SOURCES = {**TEMPLATES, **TOOL_TEMPLATES}
WRITTEN = {**{n: f for n, (f, _) in PUBLISHED.items() if f}, **FORMAT_OF}
"""Name of a template that writes calls -> the name of its format."""
SCHEMAS: Schemas = {
    "look-up.in": {"type": "object", "properties": {
        "text": {"type": "string"}, "count": {"type": "integer"}, "on": {"type": "boolean"},
        "share": {"type": "number"}, "names": {"type": "array"}, "more": {"type": "object"},
        "perhaps": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}},
    "nothing": {"type": "object", "properties": {}},
}  # fmt: skip
AWKWARD = ["it's", '"so"', "</tool_call>", "</thi", "{", "}", "[1]", "é🙂", "a: b", " x ", "2",
           "true", 'Zürich\'s <b> & "co"', "line\nline", "\\n", "</parameter"]  # fmt: skip
UNESCAPED = {"qwen_xml", "glm", "lfm2", "gemma4", "function_gemma"}
"""Formats whose templates write texts as they are: marks and quotes in them are ambiguous."""
PLAIN = ["it's", "é🙂", "2", "true", "line\nline", "Zürich", "{x}", "a b"]


def calls_for(name: str) -> st.SearchStrategy[list[ToolCall]]:
    plain = name in UNESCAPED
    text = st.sampled_from(PLAIN if plain else AWKWARD)
    values = {
        "text": text, "count": st.integers(-(10**6), 10**6), "on": st.booleans(),
        "share": st.sampled_from([0.5, -1.25, 3.0]),
        "names": st.lists(st.sampled_from(["Ann", "Bo"]) if plain else text, max_size=2),
        "more": st.fixed_dictionaries({}, optional={"key": st.integers(0, 9), "other": text}),
    }  # fmt: skip
    if name not in ("lfm2", "qwen_xml"):
        values["perhaps"] = st.one_of(st.none(), st.integers(0, 5))
    if name in ("lfm2", "glm", "qwen_xml"):  # the template writes lists as Python does
        values.pop("more" if name == "lfm2" else "names")
    arguments = st.fixed_dictionaries({}, optional=values)
    call = arguments.map(lambda made: ToolCall("look-up.in", made))
    return st.lists(call | st.just(ToolCall("nothing", {})), min_size=1, max_size=2)


def template_of(name: str) -> ChatTemplate:
    return ChatTemplate(SOURCES[name], SPECIALS)


def format_of(name: str) -> ToolFormat:
    return next(each for each in FORMATS if each.name == WRITTEN[name])


TOOLS = [
    {"type": "function", "function": {"name": n, "description": "A tool.", "parameters": s}}
    for n, s in SCHEMAS.items()
]


def turn(template: ChatTemplate, calls: list[ToolCall], format: ToolFormat) -> str:
    """What the assistant writes, from the end of the prompt to the end of the turn."""
    user = {"role": "user", "content": "qzUuq"}
    message = {"role": "assistant", "content": "", "tool_calls": [c.as_dict() for c in calls]}
    text = template.render([user, message], tools=TOOLS, add_generation_prompt=False)
    text = text[text.rindex("qzUuq") :]
    start = min(at for b in (*format.begins, *format.leads) if (at := text.find(b)) >= 0)
    if format.end:
        return text[start : text.rindex(format.end) + len(format.end)]
    return text[start : max(text.rfind(mark) for mark in "]})") + 1]


def answered(
    pieces: list[str],
    tools: ToolFormat | None = None,
    reasoning: ReasoningFormat | None = None,
    opened: bool = False,
) -> Generation:
    result = Generation()
    for _ in parsed(pieces, TaggedParser(reasoning, tools, SCHEMAS, opened), result):
        pass
    return result


def in_pieces(text: str, sizes: list[int]) -> list[str]:
    pieces: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@pytest.mark.parametrize("name", SOURCES)
def test_formats_are_recognized_by_the_template(name: str) -> None:
    template = template_of(name)
    calls, reasoning = tool_format(template), reasoning_format(template.source, ())
    expected = (WRITTEN.get(name), PUBLISHED.get(name, (None, None))[1])
    if name in TOOL_TEMPLATES:
        expected = (FORMAT_OF[name], reasoning.name if reasoning else None)
    assert (calls and calls.name, reasoning and reasoning.name) == expected


def test_formats_are_recognized_by_descriptions_and_tokens() -> None:
    told = ChatTemplate("Write <tool_call>{...}</tool_call>{{ messages[0].content }}", {})
    assert tool_format(told) is next(f for f in FORMATS if f.name == "hermes")
    plain = template_of("chatml")
    assert tool_format(plain) is None
    for each in FORMATS:
        if each.begins and each.name not in ("qwen_xml", "glm", "mistral_args", "granite"):
            assert tool_format(plain, {*each.begins, each.end}) is each
    found = reasoning_format("", ["[THINK]", "[/THINK]"])
    assert found is not None
    assert found.name == "magistral"


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_template_writes_is_read_back(name: str) -> None:
    template, format = template_of(name), format_of(name)
    single = name in ("llama3_tools", "gpt_oss")

    @settings(max_examples=5, deadline=None)
    @given(calls_for(format.name), SIZES)
    def read_back(calls: list[ToolCall], sizes: list[int]) -> None:
        calls = calls[:1] if single else calls
        calls = [ToolCall(c.name, c.arguments, "abcdefgh1") for c in calls]
        result = answered(in_pieces(turn(template, calls, format), sizes), format)
        assert result.tool_errors == []
        made = [(call.name, call.arguments) for call in result.tool_calls]
        assert made == [(call.name, call.arguments) for call in calls]
        assert result.text == ""

    read_back()


@pytest.mark.parametrize("format", FORMATS, ids=lambda each: each.name)
def test_a_call_begins_as_it_is_opened(format: ToolFormat) -> None:
    """And with text before it, unless it has to lead."""
    name = next(n for n, f in WRITTEN.items() if f == format.name)
    calls = [ToolCall("nothing", {}, "abcdefgh1")]
    written = turn(template_of(name), calls, format)
    squeezed = "".join(written.split())
    opening = "".join(format.opening("nothing").split())
    if format.name != "harmony":  # whose opening begins a turn
        assert squeezed.startswith(opening)
    if not format.leads:
        result = answered(["Let me see.\n\n", *written], format)
        assert (result.text, len(result.tool_calls)) == ("Let me see.", 1)
        assert result.message["tool_calls"][0]["function"]["name"] == "nothing"


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*FORMATS, None]),
    st.lists(st.sampled_from([*AWKWARD, *(m for f in FORMATS for m in f.markers), "<think>",
                              "</think>", '{"name": "x", "arguments": {}}', "f(a=1)"]),
             max_size=8).map("".join),
    SIZES,
    st.booleans(),
)  # fmt: skip
def test_any_text_is_read_and_none_of_it_lost(
    format: ToolFormat | None, text: str, sizes: list[int], opened: bool
) -> None:
    """Pieces make no difference, and only marks and white space are left out."""
    think = next(f for f in (reasoning_format("</think>", ()),) if f)
    whole = answered([text], format, think, opened)
    parts = answered(in_pieces(text, sizes), format, think, opened)
    for made in (whole, parts):
        made.tool_calls = [ToolCall(call.name, call.arguments, "") for call in made.tool_calls]
    assert whole == parts
    if not whole.tool_calls:
        assert squeezed(whole.reasoning + whole.text) == squeezed(text)


def squeezed(text: str) -> str:
    """Without white space and the marks of reasoning."""
    return "".join(text.split()).replace("<think>", "").replace("</think>", "")


def hermes() -> ToolFormat:
    return next(f for f in FORMATS if f.name == "hermes")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('{"name": "x", "arguments": {', "not valid JSON"),
        ('{"name": "x", "arguments": 3}', "the arguments of the call are no JSON object"),
        ('{"arguments": {}}', "the call names no tool"),
        ("[]", "there is no call in it"),
        ("[" * 3000, "nested too deeply|not valid JSON"),
    ],
)
def test_a_call_that_is_none_stays_text(body: str, why: str) -> None:
    good = '<tool_call>{"name": "nothing", "arguments": {}}</tool_call>'
    bad = f"<tool_call>{body}</tool_call>"
    result = answered([*bad, *good, "x"], hermes())
    assert result.text == f"{bad}x"
    assert [call.name for call in result.tool_calls] == ["nothing"]
    assert len(result.tool_errors) == 1
    assert re.search(why, result.tool_errors[0])


def test_a_call_that_is_cut_off_stays_text() -> None:
    cut = '<tool_call>{"name": "x", "arguments": {"text": "a </tool_call> b'
    result = answered([*cut], hermes())
    assert (result.text, result.tool_calls) == (cut, [])
    assert result.tool_errors
    whole = answered([*cut, '"}}</tool_call>'], hermes())
    assert whole.tool_calls[0].arguments == {"text": "a </tool_call> b"}


def test_types_come_from_the_schema_where_the_format_has_none() -> None:
    for text, schema, value in (
        ("2", {"type": "string"}, "2"), ("2", {"type": "integer"}, 2), ("2", {}, 2),
        ("True", {"type": "boolean"}, True), ("None", {"type": ["string", "null"]}, None),
        ("x y", {"type": "integer"}, "x y"), ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("2", {"enum": ["1", "2"]}, "2"), ("2.5", {"anyOf": [{"type": "string"}]}, "2.5"),
        ("true", {"type": ["string", "integer"]}, "true"), ("3", {"type": "number"}, 3),
        ("null", {"type": "string", "nullable": True}, None),
    ):  # fmt: skip
        assert typed_value(text, schema) == value


def test_reasoning_is_parsed() -> None:
    think = reasoning_format("</think>", ())
    result = answered([*"<think>\nWhy\nnot?\n</think>\n\nBecause <think> is text."], None, think)
    assert (result.reasoning, result.text) == ("Why\nnot?", "Because <think> is text.")
    assert result.message == {
        "role": "assistant", "content": result.text, "reasoning_content": "Why\nnot?"
    }  # fmt: skip
    cut = answered(["because", " of"], None, think, opened=True)
    assert (cut.reasoning, cut.text) == ("because of", "")
    plain = answered(["\n<b> text </", "think "], None, think)
    assert (plain.reasoning, plain.text) == ("", "\n<b> text </think ")


def test_channels_of_harmony() -> None:
    template = template_of("gpt_oss")
    reasoning = reasoning_format(template.source, ())
    harmony = tool_format(template)
    thought = "<|channel|>analysis<|message|>Hm.<|end|>"
    result = answered(
        [*f"{thought}<|start|>assistant<|channel|>final<|message|>Yes.<|return|>"],
        harmony, reasoning,
    )  # fmt: skip
    assert (result.reasoning, result.text) == ("Hm.", "Yes.")
    for header in (
        "<|start|>assistant<|channel|>commentary to=functions.nothing <|constrain|>json",
        "<|start|>assistant to=functions.nothing<|channel|>commentary json",
    ):
        for end in ("<|call|>", ""):  # a token that ends the answer has no text
            said = "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
            result = answered([*f"{thought}{said}{header}<|message|>{{}}{end}"], harmony, reasoning)
            assert (result.reasoning, result.text) == ("Hm.", "I look.")
            assert [call.name for call in result.tool_calls] == ["nothing"]


def test_an_answer_in_tags_of_its_own() -> None:
    reasoning = reasoning_format(TOOL_TEMPLATES["hunyuan_think"], ())
    written = "<think>\nHm.\n</think>\n<answer>\nYes.\n</answer>"
    result = answered([*written], None, reasoning)
    assert (result.reasoning, result.text) == ("Hm.", "Yes.")


def test_calls_of_the_openai_api_have_text() -> None:
    call = ToolCall("f", {"é": 1}, "x")
    assert json.loads(call.as_dict(text=True)["function"]["arguments"]) == {"é": 1}
    assert call.as_dict()["function"]["arguments"] == {"é": 1}
    assert len({ToolCall("f", {}).id for _ in range(20)}) == 20


def test_the_page_has_every_form() -> None:
    page = (Path(__file__).parents[3] / "docs" / "chat.md").read_text(encoding="utf-8")
    assert re.findall(r"^- `(\w+)`: ", page, re.MULTILINE) == [each.name for each in FORMATS]


def test_schemas_that_are_none_type_nothing() -> None:
    odd: list[Any] = [{"type": [[]]}, {"type": 3}, {"anyOf": 3}, {"oneOf": [3]}, {"enum": 3}]
    for schema in odd:
        assert typed_value("2", schema) == 2
    properties: Any
    for properties in (None, [], {"a": 3}):
        assert argument_schema({"f": {"properties": properties}}, "f", "a") == {}


def test_what_a_hostile_template_writes_is_bounded() -> None:
    """Neither long turns nor many brackets or deep nesting take long."""
    for body in (
        "{% for i in range(3000) %}}{% endfor %}",
        "{% for i in range(900) %}[{% endfor %}",
    ):
        written = '{{ messages[0].content }}{"name": "qzNnq", "parameters": ' + body
        begin = time.process_time()
        assert tool_format(ChatTemplate(written, {})) is None
        assert time.process_time() - begin < 2
