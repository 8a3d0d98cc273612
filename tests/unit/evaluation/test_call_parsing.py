"""Calls of tools in the forms that models' templates teach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_export.evaluation.call_parsing import Call, calls_of

KNOWN = ("get_weather", "send")
WEATHER = Call("get_weather", {"location": "Paris, France"})
JSON = '{"location": "Paris, France"}'


@pytest.mark.parametrize(
    "text",
    [
        f'<tool_call>\n{{"name": "get_weather", "arguments": {JSON}}}\n</tool_call>',
        f'<|python_tag|>{{"type": "function", "name": "get_weather", "parameters": {JSON}}}',
        f'<tool_call>[{{"name": "get_weather", "arguments": {JSON}}}]</tool_call>',
        f'{{"tool_calls": [{{"function": {{"name": "get_weather", "arguments": {JSON}}}}}]}}',
        '{"name": "get_weather", "arguments": "{\\"location\\": \\"Paris, France\\"}"}',
        f"[TOOL_CALLS]get_weather[ARGS]{JSON}",
        f"get_weather\n{JSON}",
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{JSON}\n```",
        f"commentary to=functions.get_weather <|constrain|>json<|message|>{JSON}",
        '<|tool_call_start|>[get_weather(location="Paris, France")]<|tool_call_end|>',
        "Let me look (for you). get_weather(location='Paris, France')",
        "<tool_call>\n<function=get_weather>\n<parameter=location>\nParis, France\n</parameter>\n"
        "</function>\n</tool_call>",
    ],
)
def test_each_form_is_read(text: str) -> None:
    assert calls_of(text, KNOWN) == [WEATHER]


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Paris.", "get_weather", "get_weather(location=", '{"name": "get_weather"}',
        '{"name": "other", "arguments": {}}', "{" * 3000, "[" * 3000, "get_weather(" * 50,
    ],
)  # fmt: skip
def test_other_texts_hold_no_call(text: str) -> None:
    assert calls_of(text, KNOWN) == []


def test_several_calls_keep_their_order() -> None:
    text = '[get_weather(location="Paris, France"), send(text="a)b", times=2)]'
    assert calls_of(text, KNOWN) == [WEATHER, Call("send", {"text": "a)b", "times": 2})]


@given(st.text(alphabet='{}[]()"=<>\\,: getwahrsndfuncio_\n', max_size=80))
def test_any_text_is_read(text: str) -> None:
    for call in calls_of(text, KNOWN):
        assert call.name in KNOWN
