"""Reasoning, calls of tools and cancelling, with a real program and templates of real families."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_conversations import weather
from chat_templates import TEMPLATES
from chat_templates_tools import TOOL_TEMPLATES
from scripted_answers import continues, follows, says, with_template

from runtime_py import LLM, AnswerFormat, ArgumentError
from runtime_py.reasoning import EARLY
from runtime_py.tool_choice import ToolChoice

USER = [{"role": "user", "content": "w?"}]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Zürich 🙂"}}\n</tool_call>'
SCRIPT = f"<think>\nHm 🙂.\n</think>\n\nI look.\n{CALL}"

Loaded = Callable[..., LLM]


@pytest.fixture(scope="module")
def loaded(portable_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """loaded(name of a template, special token) -> a model, which the tests of a module share."""
    made: dict[Any, LLM] = {}

    def load(name: str, special: str | None = None) -> LLM:
        if (name, special) not in made:
            folder = tmp_path_factory.mktemp("b") / "bundle"
            source = {**TEMPLATES, **TOOL_TEMPLATES}[name]
            made[name, special] = with_template(portable_bundle, folder, source, special)
        made[name, special].reset()
        return made[name, special]

    return load


def test_an_answer_has_parts(loaded: Loaded) -> None:
    llm = loaded("qwen3")
    with llm.stream(USER, tools=[weather], logits_processor=says(llm, SCRIPT)) as stream:
        deltas = list(stream.deltas())
    answer = stream.result
    assert (answer.reasoning, answer.text) == ("Hm 🙂.", "I look.")
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [
        ("weather", {"city": "Zürich 🙂"})
    ]
    assert (answer.finish, answer.tool_errors) == ("tool_calls", [])
    thought = len(llm.tokenizer.encode("<think>\nHm 🙂.\n</think>"))
    assert thought - 8 <= answer.stats.reasoning_tokens <= thought
    assert [d.kind for d in deltas if d.kind != "text"][-1] == "tool_call"
    for kind, text in (("text", answer.text), ("reasoning", answer.reasoning)):
        assert "".join(d.text for d in deltas if d.kind == kind) == text
    pieces: list[str] = []
    again = llm.chat(USER, tools=[weather], on_text=pieces.append,
                     logits_processor=says(llm, SCRIPT))  # fmt: skip
    assert "".join(pieces) == again.text == "I look."


def test_a_conversation_goes_on_with_the_message(loaded: Loaded) -> None:
    llm = loaded("qwen3")
    answer = llm.chat(USER, tools=[weather], logits_processor=says(llm, SCRIPT))
    result = {"role": "tool", "tool_call_id": answer.tool_calls[0].id, "content": "21 °C"}
    messages = [*USER, answer.message, result]
    final = llm.chat(messages, tools=[weather], logits_processor=says(llm, "21."))
    assert final.text == "21."
    # The template writes the call as the model did, so that its keys and values are still good.
    assert final.stats.cached_tokens == answer.stats.prompt_tokens + len(answer.tokens) - 1
    texts = [answer.message | {"tool_calls": [answer.tool_calls[0].as_dict(text=True)]}]
    assert llm.count_tokens([*USER, *texts, result]) == llm.count_tokens(messages)


def test_a_template_may_read_arguments_as_text(loaded: Loaded) -> None:
    source = "deepseek"
    llm = loaded(source)
    told = TOOL_TEMPLATES[source].replace("f.arguments if f.arguments is string else", "'' +")
    told = told.replace("(f.arguments | tojson)", "f.arguments")
    assert "'' + f.arguments" in told
    llm._prompts.__dict__["template"] = type(llm.template)(told, {})  # type: ignore[misc]
    call = {"function": {"name": "f", "arguments": {"a": 1}}, "type": "function", "id": "1"}
    called: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert llm.count_tokens([*USER, called])
    del llm._prompts.__dict__["template"]


def test_only_what_was_asked_for_is_taken_out(loaded: Loaded) -> None:
    llm = loaded("qwen3")
    plain = llm.chat(USER, logits_processor=says(llm, SCRIPT))  # without tools, there are no calls
    assert (plain.reasoning, plain.text) == ("Hm 🙂.", f"I look.\n{CALL}")
    whole = llm.chat(USER, answer_format=AnswerFormat(), logits_processor=says(llm, SCRIPT))
    assert (whole.reasoning, whole.text, whole.finish) == ("", SCRIPT, "eos")
    prompt = llm.tokenizer.encode("w?")
    assert llm.generate(prompt, logits_processor=says(llm, SCRIPT)).text == SCRIPT


def test_marks_that_are_special_tokens_are_seen(loaded: Loaded) -> None:
    llm = loaded("mistral_args", "[TOOL_CALLS]")
    script = '[TOOL_CALLS]weather[ARGS]{"city": "a"}[TOOL_CALLS]weather[ARGS]{"city": "b"}'
    assert llm.tokenizer.decode(llm.tokenizer.encode(script, raw=False)).count("[TOOL") == 0
    answer = llm.chat(USER, tools=[weather], logits_processor=says(llm, f"So: {script}"))
    assert [call.arguments["city"] for call in answer.tool_calls] == ["a", "b"]
    assert answer.text == "So:"
    assert "[TOOL_CALLS]" not in llm.chat(USER, logits_processor=says(llm, script)).text


def test_reasoning_that_the_prompt_begins(loaded: Loaded) -> None:
    llm = loaded("deepseek_r1")
    answer = llm.chat(USER, logits_processor=says(llm, "Hm.\n</think>\n\nYes."))
    assert (answer.reasoning, answer.text) == ("Hm.", "Yes.")


def thinker(llm: LLM) -> Any:
    """Thinks for ever, unless it is stopped."""
    after = "</think>\n\n"

    def choose(said: str) -> str:
        if after in said:
            return "Yes."[len(said.partition(after)[2]) :]
        return "<think>"[len(said) :] if "<think>".startswith(said) and said != "<think>" else "a"

    return continues(llm, choose)


def test_a_budget_ends_reasoning(loaded: Loaded) -> None:
    llm = loaded("qwen3")
    free = llm.chat(USER, logits_processor=thinker(llm), max_new_tokens=40)
    assert (free.text, free.finish) == ("", "length")
    answer = llm.chat(USER, thinking_budget=9, logits_processor=thinker(llm))
    assert answer.text == "Yes."
    assert answer.reasoning.endswith(EARLY.strip())
    thought = answer.reasoning.removesuffix(EARLY.strip()).strip()
    assert set(thought) == {"a"}
    assert len(llm.tokenizer.encode(thought)) in (8, 9)
    early = len(llm.tokenizer.encode(EARLY + "</think>"))
    assert abs(answer.stats.reasoning_tokens - early - 9) <= 9
    enough = llm.chat(USER, thinking_budget=500, logits_processor=says(llm, SCRIPT))
    assert enough.reasoning == "Hm 🙂."


def test_no_budget_switches_thinking_off(loaded: Loaded) -> None:
    llm = loaded("qwen3")
    assert llm.count_tokens(USER, thinking_budget=0) == llm.count_tokens(
        USER, enable_thinking=False
    )
    for name in ("qwen3", "deepseek_r1"):  # the latter's prompt begins reasoning in any case
        llm = loaded(name)
        answer = llm.chat(USER, thinking_budget=0, logits_processor=thinker_of(llm))
        assert (answer.reasoning, answer.text) == ("", "Yes.")


def thinker_of(llm: LLM) -> Any:
    return continues(llm, lambda said: "Yes."[len(said.rpartition("\n\n")[2]) :])


@pytest.mark.parametrize("name", ["hermes", "mistral_args", "llama_json", "pythonic", "gemma4"])
def test_a_call_can_be_demanded(loaded: Loaded, name: str) -> None:
    llm = loaded(name)
    format = llm._prompts._formats["chat_template"][1]
    assert format is not None
    arguments = {"pythonic": 'city="x")]', "gemma4": 'city:<|"|>x<|"|>}<tool_call|>'}
    ends = {"hermes": "}\n</tool_call>", "llama_json": "}"}
    rest = arguments.get(name, '{"city": "x"}' + ends.get(name, ""))
    opening = format.opening("weather")

    def choose(said: str) -> str:
        assert said.startswith(opening)
        return rest[len(said) - len(opening) :]

    choices: list[Any] = ["required"]
    if name == "hermes":
        choices += ["weather", {"type": "function", "function": {"name": "weather"}}]
    for choice in choices:
        answer = llm.chat(
            USER, tools=[weather], tool_choice=choice, logits_processor=continues_after(llm, choose)
        )
        assert [(c.name, c.arguments) for c in answer.tool_calls] == [("weather", {"city": "x"})]
    none = llm.chat(USER, tools=[weather], tool_choice="none", max_new_tokens=3)
    assert none.stats.prompt_tokens == llm.count_tokens(USER)


@pytest.mark.parametrize("thinks", [True, False])
def test_a_model_may_think_before_a_demanded_call(loaded: Loaded, thinks: bool) -> None:
    llm = loaded("qwen3", "<think>")
    format = llm._prompts._formats["chat_template"][1]
    assert format is not None
    opening, rest = format.opening("weather"), '{"city": "x"}}\n</tool_call>'
    begins = ["<think>" if thinks else "Hi"]

    def choose(said: str) -> str:
        if begins:
            return begins.pop()
        thought, called, after = said.partition(opening)
        return rest[len(after) :] if called else "\nHm.\n</think>"[len(thought) :]

    answer = llm.chat(
        USER, tools=[weather], tool_choice="required",
        logits_processor=continues_after(llm, choose),
    )  # fmt: skip
    assert answer.reasoning == ("Hm." if thinks else "")
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [("weather", {"city": "x"})]


def continues_after(llm: LLM, choose: Callable[[str], str]) -> Any:
    """As ``continues``, for an answer whose beginning is not sampled."""
    prompt = llm.count_tokens(USER, tools=[weather])

    def process(ids: list[int], logits: Any) -> Any:
        return follows(llm, lambda said: _first(llm, choose(llm.tokenizer.decode(ids[prompt:]))))(
            ids, logits
        )

    return process


def _first(llm: LLM, text: str) -> int:
    return llm.tokenizer.encode(text, raw=False)[0] if text else min(llm.tokenizer.eos_ids)


def test_wrong_arguments_of_a_conversation_are_named(loaded: Loaded) -> None:
    llm, plain = loaded("hermes"), loaded("chatml")
    for call, words in (
        (lambda: llm.chat(USER, tool_choice="required"), "'required' needs tools.*give tools"),
        (lambda: llm.chat(USER, tools=[weather], tool_choice="f"), "not 'f'.*tools are weather"),
        (lambda: llm.chat(USER, tool_choice=3), "the name of a tool, not 3"),
        (lambda: ToolChoice(names=("f",)).opening(None, {}), "not known how"),
        (lambda: plain.chat(USER, tools=[weather]), "does not read tools.*where: tools"),
        (lambda: plain.chat(USER, documents=[{"text": "a"}]), "does not read documents"),
        (lambda: llm.chat(USER, thinking_budget=-1), "thinking_budget must be a whole number"),
        (lambda: llm.generate("a", thinking_budget=True), "of tokens, not True"),
        (lambda: llm.chat(USER, answer_format="x"), "answer_format must be an AnswerFormat"),
        (lambda: llm.chat(USER, tool_choise="none"), "did you mean tool_choice"),
        (lambda: llm.generate("a", tool_choice="none"), "there is no argument 'tool_choice'"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError) as caught:
            call()
        caught.match(f"(?s){words}")


def test_a_stream_is_cancelled_from_another_thread(loaded: Loaded) -> None:
    llm = loaded("chatml")
    whole = llm.chat(USER, max_new_tokens=60)
    llm.reset()
    stream = llm.stream(USER, max_new_tokens=60)
    said = [next(stream), next(stream)]
    at = len(stream.result.tokens)
    thread = threading.Thread(target=stream.cancel)
    thread.start()
    thread.join()
    said += stream
    assert stream.result.finish == "cancelled"
    assert len(stream.result.tokens) == at
    assert "".join(said) == stream.result.text
    # What has been generated stays in the cache.
    ids = [*llm.tokenizer.encode(llm.template.render(USER), raw=False), *stream.result.tokens]  # type: ignore[union-attr]
    rest = llm.generate(ids, max_new_tokens=60 - at)
    assert [*stream.result.tokens, *rest.tokens] == whole.tokens
    assert rest.stats.cached_tokens >= len(ids) - 1
    never = llm.stream(USER)
    never.cancel()
    assert (never.read().finish, never.result.tokens) == ("cancelled", [])
    assert llm.chat(USER, max_new_tokens=60).tokens == whole.tokens


def test_a_long_prompt_is_fed_until_it_is_cancelled(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = loaded("chatml")
    ids = [1 + at % 250 for at in range(900)]
    stream, step, fed = llm.stream(ids), llm.program.step, []

    def cancelling(tokens: Any) -> Any:
        fed.append(len(tokens))
        stream.cancel()
        return step(tokens)

    monkeypatch.setattr(llm.program, "step", cancelling)
    assert stream.read().finish == "cancelled"
    assert (stream.result.tokens, len(fed)) == ([], 1)
    monkeypatch.undo()
    after = llm.generate(ids, max_new_tokens=4)
    llm.reset()
    assert after.tokens == llm.generate(ids, max_new_tokens=4).tokens


@pytest.mark.parametrize("stop", [(), ("🙂🙂",), ("</stop>",)])
def test_characters_and_stop_strings_across_tokens(loaded: Loaded, stop: tuple[str, ...]) -> None:
    """Invalid bytes become replacement characters, and what follows them is right."""
    llm = loaded("chatml")
    wide = llm.tokenizer.encode("a🙂é🙂🙂b</stop>c", raw=False)
    broken = llm.tokenizer.encode("🙂", raw=False)[:2]
    script = [*wide, *broken, *llm.tokenizer.encode("z", raw=False), 319]
    with llm.stream(
        USER, stop=stop, logits_processor=follows(llm, lambda said: script[len(said)])
    ) as stream:
        pieces = list(stream)
    expected = "a🙂é🙂🙂b</stop>c\N{REPLACEMENT CHARACTER}z"
    for each in stop:
        expected = expected.partition(each)[0]
    text = "".join(pieces).replace("\N{REPLACEMENT CHARACTER}" * 2, "\N{REPLACEMENT CHARACTER}")
    assert text == expected
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces[:-1])
    assert stream.result.finish == ("stop" if stop else "eos")
