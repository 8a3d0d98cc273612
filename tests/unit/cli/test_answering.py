"""What a terminal shows of reasoning and calls of tools, and how an answer is stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_templates import TEMPLATES
from scripted_answers import says, with_template

from llm_export.cli.answering import Answering
from llm_export.cli.main import main
from llm_export.cli.tools import Toolbox
from llm_export.errors import InputError
from runtime_py import LLM
from runtime_py.cli.printing import show

TOOLS = '''
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: one
        b: the other
    """
    return _sum(a, b)


def _sum(*numbers: int) -> int:
    return sum(numbers)
'''
ASKED = [{"role": "user", "content": "2+3?"}]
CALL = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'
JSON = '[{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]'


@pytest.fixture(scope="module")
def llm(portable_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> LLM:
    folder = tmp_path_factory.mktemp("b") / "bundle"
    return with_template(portable_bundle, folder, TEMPLATES["qwen3"])


@pytest.fixture
def python(tmp_path: Path) -> Toolbox:
    (tmp_path / "tools.py").write_text(TOOLS)
    return Toolbox.read(tmp_path / "tools.py")


@pytest.fixture
def schemas(tmp_path: Path) -> Toolbox:
    (tmp_path / "tools.json").write_text(JSON)
    return Toolbox.read(tmp_path / "tools.json")


def each(llm: LLM, *answers: str) -> dict[str, Any]:
    """Settings with which the model gives these answers, one after another."""
    made = [says(llm, answer) for answer in answers]
    lengths: list[int] = []

    def process(ids: list[int], logits: Any) -> Any:
        # A prompt is longer than what came before it: its answer begins.
        if not lengths or len(ids) > lengths[-1] + 1:
            lengths.append(len(ids))
            made.append(made.pop(0)) if len(lengths) > 1 else None
        lengths[-1] = len(ids)
        return made[0](ids, logits)

    return {"logits_processor": process}


def test_functions_are_called(
    llm: LLM, python: Toolbox, capsys: pytest.CaptureFixture[str]
) -> None:
    given = each(llm, f"<think>\nI add.\n</think>\n\nLet me add.\n{CALL}", "It is 5.")
    added = Answering(llm, given, toolbox=python, stats=True).answer(ASKED)
    out, err = capsys.readouterr()
    assert out == "Let me add.\nIt is 5.\n"
    assert err.startswith("I add.\n")
    assert '[calls add {"a": 2, "b": 3}]' in err
    assert "of reasoning), first after" in err
    assert "ended by tool_calls]" in err
    assert [m["role"] for m in added] == ["assistant", "tool", "assistant"]
    assert (added[1]["content"], added[2]["content"]) == ("5", "It is 5.")


def test_a_person_gives_results(
    llm: LLM, schemas: Toolbox, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def ask(what: str) -> str | None:
        asked.append(what)
        return "five"

    added = Answering(llm, each(llm, CALL, "ok"), toolbox=schemas, ask=ask).answer(ASKED)
    assert asked == ["result of add> "]
    assert added[1]["content"] == "five"
    llm.reset()
    added = Answering(llm, each(llm, CALL), toolbox=schemas, ask=lambda what: None).answer(ASKED)
    assert [m["role"] for m in added] == ["assistant"]
    capsys.readouterr()
    Answering(llm, each(llm, CALL), toolbox=schemas).answer(ASKED)
    assert capsys.readouterr().out == '{"name": "add", "arguments": {"a": 2, "b": 3}}\n'


def test_wrong_calls_are_told_the_model(python: Toolbox, schemas: Toolbox) -> None:
    from runtime_py import ToolCall

    nobody = lambda what: None  # noqa: E731
    assert python.result(ToolCall("add", {"a": 1}), nobody).startswith("TypeError: ")  # type: ignore[union-attr]
    assert python.result(ToolCall("divide", {}), nobody) == "there is no divide"
    assert not python.asks
    assert schemas.asks


def test_what_is_no_call_is_named(
    llm: LLM, python: Toolbox, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = "<tool_call>{</tool_call>"
    Answering(llm, each(llm, broken), toolbox=python).answer(ASKED)
    out, err = capsys.readouterr()
    assert out == f"{broken}\n"
    assert "[not a call: the call is not valid JSON" in err


def test_an_interrupt_stops_the_answer(llm: LLM, capsys: pytest.CaptureFixture[str]) -> None:
    llm.reset()
    script = says(llm, "never said to its end")
    started: list[int] = []

    def process(ids: list[int], logits: Any) -> Any:
        started.append(len(ids))
        if len(started) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return script(ids, logits)

    former = signal.getsignal(signal.SIGINT)
    added = Answering(llm, {"logits_processor": process}).answer(ASKED)
    out, err = capsys.readouterr()
    assert added[0]["content"] == out.rstrip("\n")
    assert "never said to its end".startswith(out.rstrip("\n"))
    assert 0 < len(out) < 20
    assert "[stopped]" in err
    assert signal.getsignal(signal.SIGINT) is former
    assert len(started) < 9
    started.clear()
    llm.reset()
    assert show(llm.stream(ASKED, logits_processor=process)).finish == "cancelled"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.py", "x = 1", "there is no function in it"),
        ("t.py", "x = ", "fails with SyntaxError"),
        ("t.json", "[", "not valid JSON"),
        ("t.json", None, "cannot be read: No such file"),
        ("t.py", None, "cannot be read: No such file"),
    ],
)
def test_files_without_tools_are_named(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        Toolbox.read(tmp_path / name)


def test_a_function_without_a_description_is_refused(
    portable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.py"
    file.write_text("def f(a: int): ...")
    flags = ["--message", "x", "--tools", str(file), "--thinking-budget", "3"]
    assert main(["chat", str(portable_bundle), *flags]) == 2
    assert "the tool 'f' has no docstring" in capsys.readouterr().err
    assert not [name for name in sys.modules if name.startswith("tools_")]
