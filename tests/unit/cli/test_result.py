"""What a run says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export.cli.answers_text import print_answers
from llm_export.cli.result import from_here
from llm_export.pipeline.summary import Answer


def test_a_bundle_is_named_as_a_command_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(tmp_path / "outputs" / "mine") == Path("outputs/mine")
    assert from_here(tmp_path.parent / "mine") == tmp_path.parent / "mine"


def test_answers_are_folded_at_spaces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = "A compiler translates what people write.\n```\n    return num1 + num2\n```\n"
    print_answers([Answer("What does a compiler do, in a sentence?", text * 2)])
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 40
    assert said.count("\n    return num1 + num2\n") == 2
    assert " ".join(said.split()).count("A compiler translates what people write.") == 2
