"""Each rule mends what it is for, and Jinja2 cannot tell what it wrote from the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from chat_templates import TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateSyntaxError

from llm_export.template_engines import ENGINES, jinja2, portable
from llm_export.template_engines.base import NOW, Rendering
from llm_export.template_engines.conversations import cases
from llm_export.template_engines.portable import examine, reference, rewritten
from llm_export.template_engines.rewriting import RULES
from llm_export.template_engines.rewriting.base import text_of, tokens_of
from runtime_py import template_budget
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError
from runtime_py.template_environment import template_environment

SPECIALS = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
JS, LITERT = "huggingface_jinja", "litert_lm"
EXAMPLES: dict[str, tuple[str, str]] = {
    "line_ends": (LITERT, "{{ x }}\r\n{% if x %}\r\na{% endif %}\n"),
    "escapes": (JS, r"{{ 'a\sb\'\N{BULLET}\n\x41' ~ x }}"),
    "generation": (LITERT, "a {%- generation %} {{ x }} {%- endgeneration -%} b"),
    "aliases": (JS, "{{ no|d('a') }}{{ items|count }}{{ no|default }}{{ no|d() }}"),
    "dict": (JS, "{{ dict(a=x, b = dict(c=[1, words[0]]))|tojson }}{{ dict() | length }}"),
    "continue": (JS, "{% for i in items %}{{ i.a }};{% if i.b %}b{% continue %}{% endif %}"
                     "{{ loop.index }}{% if i.a == 2 %}two{% continue %}{% endif %}.\n"
                     "{% endfor %}"),
    "loop_scope": (JS, "{% set f = 'o' %}{% for i in items %}{% if i.b %}{% set f = 'i' %}"
                       "{% set g = 1 %}{% endif %}{{ f }}{{ 'g' if g is defined else '-' }}"
                       "{% endfor %}"),
    "singletons": (JS, "{% if empty == false %}a{% endif %}{% if empty != none %}b{% endif %}"
                       "{{ 'c' if nothing == none else 'd' }}"),
    "iterable": (JS, "{{ 'a' if mapping is iterable else 'b' }}"
                     "{{ 'a' if m.x is iterable else 'b' }}"),
    "string": (JS, "{{ mapping.yes|string }}{{ mapping.null | string + '.' }}"),
    "items": (JS, "{% for k, v in mapping.items() %}{{ k }};{% endfor %}"),
    "get": (LITERT, "{{ mapping.get('items') }}{{ 'a' if mapping.get('no') is none else 'b' }}"),
    "join": (JS, "{{ ', '.join(words) }}"),
    "affixes": (LITERT, "{{ 'a' if x.startswith('  \n') else 'b' }}"
                        "{{ 'a' if words[0].endswith('ba') else 'b' }}"),
    "strip_character": (JS, r"{{ x.lstrip('\n') }}|{{ (x + '').strip(' ').rstrip('\n') }}|"
                            r"{{ words[0].strip('a') + ''.strip('\n') }}"),
    "filters": (LITERT, "{{ x.strip().upper()[0] }}{{ x.replace(' ', '-') }}"),
    "months": (JS, "{{ 'on ' + strftime_now('%d %B %Y, %b %%B') }}"),
    "missing_trim": (JS, "{{ mapping.no | trim }}{{ x|trim + nothing|trim }}"),
    "missing_concat": (JS, "{{ x ~ mapping.no ~ 'a' ~ nothing }}"),
    "missing_key": (JS, "{{ mapping[m.type] or 'none' }}{{ mapping[words[1]] or 'none' }}"),
    "missing_list": (JS, "{% for t in mapping.no %}{{ t }}{% else %}none{% endfor %}"
                         "{% for i in items if i.b %}{{ i.a }}{% endfor %}"),
    "text_loop": (JS, "{% for part in mapping.content %}{{ part.text }}{% endfor %}."
                      "{% for content in content %}{{ content.text }}{% endfor %}"),
    "omitted_variables": (JS, "\n  {% if tools is none %}{{ bos_token + 'a' }}{% endif %}\n"),
}  # fmt: skip
"""Rule -> (an engine that renders it otherwise, or not at all; a template)."""
VALUES: dict[str, Any] = {
    "x": "  \n\n a \té😀\n \n", "empty": "", "words": ["aba", "c"], "m": {},
    "items": [{"a": 1, "b": True}, {"a": 2, "b": False}, {"a": 3, "b": False}],
    "content": [{"text": "a"}],
    "mapping": {"content": "ab", "items": "é", "yes": True, "null": None, "float": 0.5},
}  # fmt: skip


def test_every_rule_has_an_example() -> None:
    assert list(EXAMPLES) == [rule.name for rule in RULES]


@pytest.fixture(scope="module")
def in_engines() -> Mapping[tuple[str, str], Rendering]:
    """(engine, template) -> what it renders, of the examples before and after their rule."""
    found = {}
    sources = [source for _, source in EXAMPLES.values()]
    sources += [changed(name) for name in EXAMPLES]
    for name in ENGINES.in_order():
        engine = ENGINES.get(name)
        if engine.missing() is None:
            for source, (text,) in zip(sources, engine.render(sources, [case(name)]), strict=True):
                found[name, source] = text
    return found


def case(engine: str) -> dict[str, Any]:
    special = {**SPECIALS, "tools": None} if engine == "jinja2" else {}
    return {"messages": [], "add_generation_prompt": True, **VALUES, **special}


def changed(name: str) -> str:
    return next(r for r in RULES if r.name == name).apply(EXAMPLES[name][1], SPECIALS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_mends_what_it_is_for(
    name: str, in_engines: Mapping[tuple[str, str], Rendering]
) -> None:
    engine, source = EXAMPLES[name]
    expected = in_engines["jinja2", source].text
    assert expected is not None
    assert in_engines["jinja2", changed(name)].text == expected
    if (engine, source) not in in_engines:
        missing = ENGINES.get(engine).missing()
        pytest.skip(missing.reason if missing else engine)
    assert in_engines[engine, source].text != expected
    assert in_engines[engine, changed(name)].text == expected


TEXT = st.text(alphabet="ab \n\t<>é😀\u00a0{%'\"\\|", max_size=12) | st.sampled_from(
    ("<think>\nx\n</think>\n\ny", "<tool_response>\na\n</tool_response>", "</think>", "\n\n a \n\n")
)
JSON = st.none() | st.booleans() | st.integers(-9, 9) | TEXT
ARGUMENTS = st.dictionaries(st.sampled_from(("items", "get", "a", "é")), JSON, max_size=3)
CALL = st.builds(
    lambda name, arguments: {
        "id": "abcdefghi", "type": "function", "function": {"name": name, "arguments": arguments}
    }, TEXT, ARGUMENTS,
)  # fmt: skip
MESSAGE = st.one_of(
    st.builds(lambda c: {"role": "user", "content": c}, TEXT),
    st.builds(lambda c: {"role": "system", "content": c}, TEXT),
    st.builds(lambda c: {"role": "assistant", "content": c}, TEXT),
    st.builds(lambda c, r: {"role": "assistant", "content": c, "reasoning_content": r}, TEXT, TEXT),
    st.builds(lambda calls: {"role": "assistant", "tool_calls": calls}, st.lists(CALL, max_size=2)),
    st.builds(lambda c: {"role": "tool", "tool_call_id": "abcdefghi", "content": c}, TEXT),
    st.builds(lambda c: {"role": "user", "content": [{"type": "text", "text": c}]}, TEXT),
)
CONVERSATION = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=5), "add_generation_prompt": st.booleans()},
    optional={"enable_thinking": st.booleans()},
)
REWRITTEN = ("qwen3_5", "hermes_tools")
"""Templates that between them take most rules."""


@pytest.fixture(scope="module")
def pairs() -> list[tuple[ChatTemplate, ChatTemplate]]:
    """(template, its portable form)."""
    conversations = cases(SPECIALS)
    made: list[tuple[ChatTemplate, ChatTemplate]] = []
    for name in REWRITTEN:
        expected = reference(TEMPLATES[name], conversations)
        found = rewritten(TEMPLATES[name], SPECIALS, conversations, expected)
        assert found.rules
        before, after = (
            ChatTemplate(one, SPECIALS, now=lambda: NOW) for one in (TEMPLATES[name], found.source)
        )
        made.append((before, after))
    return made


@given(conversation=CONVERSATION)
@settings(max_examples=20, deadline=None)
def test_no_conversation_tells_a_portable_template_from_its_original(
    conversation: dict[str, Any], pairs: list[tuple[ChatTemplate, ChatTemplate]]
) -> None:
    for before, after in pairs:
        assert rendered(after, conversation) == rendered(before, conversation)


def rendered(template: ChatTemplate, conversation: dict[str, Any]) -> str | None:
    try:
        return template.render(**conversation)
    except BundleRuntimeError:
        return None


PIECES = st.sampled_from((
    "a", " ", "\n", "{{ x }}", "{%- if x.y -%}", "{% endif %}", "{% for a in b.c %}",
    "{% continue %}", "{% endfor %}", "{{- x.strip('\\n')[0] | trim ~ y -}}", "{# c -#}",
    "{% set x %}", "{% endset %}", "{% raw %}{{ {% endraw %}", "{% set x = x == false %}",
    "{{ 'a'.join(x) }}", "{{ (x.get('a')) }}", "{% generation %}", "{% endgeneration %}",
    "{% else %}", "{{ x is iterable }}", "{{ x|d }}", "{{ x ~ y }}", "{{ strftime_now('%B') }}",
    "{{ x | string }}", "{{ (x or y).strip() ~ [x, y][0] }}", "{{ {'a': x}.items() }}",
))  # fmt: skip


@given(st.lists(PIECES, max_size=8).map("".join))
@settings(max_examples=15, deadline=None)
def test_rules_make_templates_of_templates(source: str) -> None:
    try:
        template_environment().parse(source)
    except TemplateSyntaxError:
        return
    for rule in RULES:
        changed = rule.apply(source, SPECIALS)
        template_environment().parse(changed)


@pytest.mark.parametrize("name", ["qwen3_5", "gemma3", "hermes_tools"])
def test_tokens_are_the_whole_text(name: str) -> None:
    assert text_of(tokens_of(TEMPLATES[name])) == TEMPLATES[name]


def test_a_rule_that_changes_the_text_is_not_taken() -> None:
    """A variable that `generation` sets ends with it; a condition lets it out."""
    source = (
        "{% generation %}{% set y = 'a' %}{{ messages[0].content | trim }}{% endgeneration %}"
        "{{ y }}{{ messages[0].nothing | trim }}"
    )
    conversations = cases(SPECIALS)
    found = rewritten(source, SPECIALS, conversations, reference(source, conversations))
    assert found.rules == ("missing_trim",)
    assert "{% generation %}" in found.source


def test_a_template_that_jinja_refuses_is_left_alone() -> None:
    assert examine("{% for %}", SPECIALS) is None
    assert examine("{{ raise_exception('no') }}", SPECIALS) is None


def test_a_template_that_takes_long_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It renders one conversation in time, and uses up what others may take."""
    monkeypatch.setattr(template_budget, "SECONDS", 0.01)
    monkeypatch.setattr(jinja2, "SECONDS", 0.06)
    monkeypatch.setattr(portable, "_SLOWEST", 0.05)
    source = (
        "{% if messages[0].content != 'What is 2 + 2?' %}{% for i in range(100000) %}"
        "{% for j in range(100000) %}{% endfor %}{% endfor %}{% endif %}{{ bos_token ~ none_ }}"
    )
    conversations = cases(SPECIALS)
    refused = [one.refusal for one in reference(source, conversations) if one.refusal]
    assert "it takes more than 0.06 s" in refused
    monkeypatch.setattr(portable, "compare_engines", lambda *given: [])
    found = examine(source, SPECIALS)
    assert found is not None
    assert found.app == portable.Portable(source, ())
