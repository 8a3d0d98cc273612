"""What the manifest says of a chat template is what the template renders."""

from __future__ import annotations

import datetime
from functools import cache

import pytest
from chat_templates import TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.bundle.chat_format import ChatEntry, ChatTurns, chat_entry
from llm_export.json_data import to_json
from llm_export.tokenizers.chat_opening import SYSTEM, opening
from runtime_py import BundleRuntimeError
from runtime_py.bundle import manifest_schema
from runtime_py.chat_template import ChatTemplate

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
NOW = datetime.datetime(2026, 3, 4)
OTHERS = {
    "llama3_tools", "smollm3", "granite", "gpt_oss", "deepseek", "refuses_without_system",
}  # fmt: skip
"""Templates that print a date, keep a part of the reasoning, or need a system message."""
SIMPLE = [name for name in TEMPLATES if name not in OTHERS]


@cache
def entry_of(name: str) -> ChatEntry:
    entry = chat_entry(TEMPLATES[name], SPECIALS, NOW)
    assert entry is not None
    return entry


@cache
def template_of(name: str) -> ChatTemplate:
    return ChatTemplate(TEMPLATES[name], SPECIALS)


def turns_of(name: str) -> ChatTurns:
    turns = entry_of(name).turns
    assert turns is not None
    return turns


def test_templates_that_only_surround_contents_have_turns() -> None:
    assert {name for name in TEMPLATES if not entry_of(name).turns} == OTHERS
    apart = {name for name in SIMPLE if "system" not in turns_of(name).roles}
    assert apart == {"llama2", "gemma", "gemma3", "mistral_tools", "mixtral_old", "command_r"}


TEXT = st.text(max_size=12) | st.sampled_from(["", " \n", "<think>a</think>b", "\u00a0x\u00a0"])


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXT, min_size=1, max_size=5), st.none() | TEXT.filter(str.strip))
@pytest.mark.parametrize("family", SIMPLE)
def test_turns_give_the_prompt(family: str, contents: list[str], system: str | None) -> None:
    turns = turns_of(family)
    roles = ("user", "assistant")
    count = len(contents) - 1 + len(contents) % 2  # the user has the last word
    messages = [{"role": roles[i % 2], "content": contents[i]} for i in range(count)]
    if system is not None and "system" in turns.roles:
        messages = [{"role": "system", "content": system}, *messages]
    assert turns.render(messages) == template_of(family).render(messages)


@pytest.mark.parametrize("family", TEMPLATES)
def test_examples_are_what_the_template_renders(family: str) -> None:
    example = entry_of(family).example
    template = ChatTemplate(TEMPLATES[family], SPECIALS, now=lambda: NOW)
    assert template.render(example.messages) == example.text
    dated = family in ("llama3_tools", "smollm3", "gpt_oss")
    assert example.date == ("2026-03-04" if dated else None)
    assert len(example.messages) == (3 if family in ("gemma", "mixtral_old") else 4)


def test_an_entry_is_as_the_schema_says() -> None:
    import jsonschema

    schema = manifest_schema()["properties"]["chat"]
    for name in TEMPLATES:
        jsonschema.validate(to_json(entry_of(name)), schema)


def test_a_template_without_a_plain_conversation_has_no_entry() -> None:
    for source in ("{{ raise_exception('no') }}", "{% if %}", "{{ messages[7].content.x }}"):
        assert chat_entry(source, {}, NOW) is None


def test_a_template_that_needs_a_system_message_gets_one() -> None:
    template = ChatTemplate(TEMPLATES["refuses_without_system"], {})
    messages = opening(template, "Hi")
    assert [m["content"] for m in messages] == [SYSTEM, "Hi"]
    assert len(opening(ChatTemplate(TEMPLATES["gemma"], {}), "Hi")) == 1
    with pytest.raises(BundleRuntimeError, match="not today"):
        opening(ChatTemplate("{{ raise_exception('not today') }}", {}), "Hi")
