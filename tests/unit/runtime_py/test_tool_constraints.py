"""What a constraint lets a model write is a valid call in the form in which calls are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from chat_templates import TEMPLATES
from constraint_tools import byte_tokenizer, walk
from scripted_answers import with_template

from runtime_py.answer_format import AnswerFormat
from runtime_py.answer_parser import parsed
from runtime_py.chat_constraint import constrained
from runtime_py.constraints import Choice, JsonSchema, Regex
from runtime_py.constraints.compiler import Compiler
from runtime_py.reasoning import FORMATS as REASONING
from runtime_py.stats import Generation
from runtime_py.tokenizer import TextStream, TextTokenizer
from runtime_py.tool_choice import checked_choice
from runtime_py.tool_formats import FORMATS
from runtime_py.tool_formats.base import ToolFormat

SCHEMAS: dict[str, Any] = {
    "look_up": {
        "type": "object",
        "properties": {
            "text": {"type": "string", "pattern": "^[a-z]{1,4}$"},
            "count": {"type": "integer", "minimum": -9, "maximum": 99},
            "on": {"type": "boolean"},
            "kind": {"enum": ["one", "two words"]},
            "names": {"type": "array", "items": {"enum": ["Ann", "Bo"]}, "maxItems": 2},
        },
        "required": ["text", "kind"],
        "additionalProperties": False,
    },
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
}
THINK = next(each for each in REASONING if each.name == "think")


def tokenizer_for(folder: Path, format: ToolFormat, special: bool) -> TextTokenizer:
    marks = [mark for mark in (*format.markers, THINK.begin, THINK.end) if mark[0] in "<["]
    if special:
        return byte_tokenizer(folder, marks, ["\n</parameter>"])
    return byte_tokenizer(folder, (), [*marks, "\n</parameter>"])


def liked(tokenizer: TextTokenizer) -> list[int]:
    return [t for t in range(tokenizer.size) if len(tokenizer.decode([t]) or "special") > 1]


def read(tokenizer: TextTokenizer, tokens: list[int], form: AnswerFormat) -> Generation:
    stream = TextStream(tokenizer, tokenizer.special_in(form.markers))
    result = Generation(finish="eos")
    for _ in parsed([*map(stream.push, tokens), stream.flush()], form.parser(), result):
        pass
    return result


@pytest.mark.parametrize("format", FORMATS, ids=lambda each: each.name)
def test_calls_that_are_required_are_valid(format: ToolFormat, tmp_path: Path) -> None:
    tokenizer = tokenizer_for(tmp_path, format, special=len(format.name) % 2 == 0)
    compiler = Compiler(tokenizer, None)
    for choice in ("required", "look_up"):
        form = AnswerFormat(None, format, SCHEMAS, opening="x")
        rules, form = constrained(None, form, checked_choice(choice, SCHEMAS), choice)
        assert form.opening == ""
        tokens, complete = walk(compiler, tokenizer, rules, 3, liked(tokenizer))
        result = read(tokenizer, tokens, form)
        # What stands before the mark of a call in harmony is left out with its reasoning.
        text = result.text.replace("<|channel|>commentary", "")
        assert complete
        assert (result.tool_errors, text) == ([], "")
        assert result.tool_calls
        assert choice == "required" or len(result.tool_calls) == 1
        for call in result.tool_calls:
            assert call.name in (SCHEMAS if choice == "required" else ["look_up"])
            kinds = {k: v for k, v in call.arguments.items() if k != "text"}
            jsonschema.validate({"text": "a", **kinds} if kinds else {}, SCHEMAS[call.name])


@pytest.mark.parametrize("format", FORMATS, ids=lambda each: each.name)
def test_text_may_hold_calls_and_calls_are_valid(format: ToolFormat, tmp_path: Path) -> None:
    tokenizer = tokenizer_for(tmp_path, format, special=len(format.name) % 2 == 1)
    form = AnswerFormat(THINK, format, SCHEMAS)
    rules, form = constrained(None, form, checked_choice("auto", SCHEMAS), "auto")
    if format.leads:  # nothing tells the beginning of a call from text
        assert rules is None
        return
    opening, end = format.opening("look_up"), f"{THINK.end}\n\nSo: "
    begun = tokenizer.encode(f"{THINK.begin}Hm. {end}{opening}", raw=False)
    state = Compiler(tokenizer, None).start(rules)
    for token in begun:
        assert bool(state.allowed(tokenizer.size)[token])
        state.accept(token)
    nonsense = tokenizer.encode("no argument", raw=False)[0]
    assert not bool(state.allowed(tokenizer.size)[nonsense])


def test_the_text_after_reasoning_is_constrained(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(tmp_path, [], [THINK.begin, THINK.end])
    compiler = Compiler(tokenizer, None)
    for opened, text in (
        (True, "Hm </think>\n\nyes"),
        (False, "<think>Hm</think>no"),
        (False, "no"),
    ):
        form = AnswerFormat(THINK, opened=opened)
        rules, form = constrained(Choice(["yes", "no"]), form, checked_choice(None, None), None)
        state = compiler.start(rules)
        for token in tokenizer.encode(text, raw=False):
            assert bool(state.allowed(tokenizer.size)[token])
            state.accept(token)
        assert state.finished
    state = compiler.start(rules)
    allowed = state.allowed(tokenizer.size).nonzero().flatten().tolist()
    assert sorted(tokenizer.decode([token]) for token in allowed) == ["<think>", "n", "y"]


def test_with_tools_an_answer_is_a_call_or_the_text_that_is_asked_for(tmp_path: Path) -> None:
    hermes = FORMATS[0]
    tokenizer = byte_tokenizer(tmp_path, hermes.markers)
    compiler = Compiler(tokenizer, None)
    form = AnswerFormat(None, hermes, SCHEMAS)
    rules, form = constrained(JsonSchema({"const": 1}), form, checked_choice(None, SCHEMAS), None)
    assert walk(compiler, tokenizer, rules, 2)[1]
    first = compiler.start(rules).allowed(tokenizer.size).nonzero().flatten().tolist()
    assert first == sorted([tokenizer.added()["<tool_call>"], *tokenizer.encode("1", raw=False)])


def test_nothing_is_constrained_unless_it_is_asked_for(tmp_path: Path) -> None:
    hermes = FORMATS[0]
    form = AnswerFormat(THINK, hermes, SCHEMAS)
    assert constrained(None, form, checked_choice(None, SCHEMAS), None) == (None, form)
    rules = Regex("a")
    plain = AnswerFormat(None)
    assert constrained(rules, plain, checked_choice(None, None), None) == (rules, plain)


def test_a_model_thinks_and_then_follows(portable_bundle: Path, tmp_path: Path) -> None:
    """A model of random weights calls a tool, or answers as it has to, after its reasoning."""
    llm = with_template(portable_bundle, tmp_path / "b", TEMPLATES["qwen3"])
    user = [{"role": "user", "content": "w?"}]
    tools = [{"type": "function", "function": {"name": name, "parameters": schema}}
             for name, schema in SCHEMAS.items()]  # fmt: skip
    settings: dict[str, Any] = {"temperature": 1.0, "thinking_budget": 4, "max_new_tokens": 400}
    for seed in range(2):
        called = llm.chat(user, tools=tools, tool_choice="look_up", seed=seed, **settings)
        assert called.finish == "tool_calls"
        assert called.tool_errors == []
        [call] = called.tool_calls
        jsonschema.validate(call.arguments, SCHEMAS["look_up"])

    prompt = llm.tokenizer.encode("<think>", raw=False)
    opened = AnswerFormat(THINK, opened=True)
    for seed, rules in enumerate((Choice(["yes", "no"]), JsonSchema(SCHEMAS["look_up"]))):
        whole, _ = constrained(rules, opened, checked_choice(None, None), None)
        answer = llm.generate(prompt, constraint=whole, answer_format=opened, seed=seed, **settings)
        assert answer.finish == "eos"
        assert answer.reasoning
        if isinstance(rules, Choice):
            assert answer.text in rules.options
        else:
            jsonschema.validate(json.loads(answer.text), rules.schema)
