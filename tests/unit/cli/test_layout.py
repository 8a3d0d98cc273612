"""Two columns that fit, with words that can be copied."""

from __future__ import annotations

import io
import sys

import pytest

from llm_export.cli.layout import WIDTH, beside, columns_here, fold, page_columns
from llm_export.cli.main import main


def test_text_is_folded_beside_its_name() -> None:
    lines = beside("name", "word " * 40, 10, WIDTH)
    assert lines[0].startswith("name       word")
    assert all(line.startswith(" " * 11 + "word") for line in lines[1:])
    assert all(len(line) <= WIDTH for line in lines)
    assert beside("name", "", 10) == ["name"]


def test_what_is_to_be_copied_is_not_broken() -> None:
    path = "/" + "long-folder/" * 20
    assert any(path in line for line in beside("bundle", f"in {path}", 10, WIDTH))


def test_a_sentence_is_one_line_for_other_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is piped is read by the line: grep would find no words on either side of a fold."""
    monkeypatch.delenv("COLUMNS", raising=False)
    sentence = "word " * 60
    assert fold(sentence) == sentence
    assert beside("name", sentence, 10) == [f"name       {sentence.rstrip()}"]
    assert page_columns() == WIDTH
    assert main(["explain", "quant.outliers"]) == 0
    found = capsys.readouterr().out.splitlines()
    assert max(map(len, found)) > WIDTH
    assert all(line.startswith(("quant.", "  ")) and not line.startswith("   ") for line in found)
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["explain", "quant.outliers"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_the_columns_are_those_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert columns_here(io.StringIO()) == sys.maxsize
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert columns_here(terminal) <= WIDTH


def test_text_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["ls", "tasks"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    assert columns_here() == WIDTH


def test_a_recipe_as_the_file_to_write_is_told_the_right_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["new", "model=tiny", "backend=xnnpack"]) == 2
    said = capsys.readouterr().err
    assert "'model=tiny' is no file to write" in said
    assert "llm-export new my_recipe.yaml model=tiny backend=xnnpack" in said


@pytest.mark.parametrize("words", [["ls"], ["ls", "recipes"], ["run", "--help", "quant"]])
def test_lists_fit_a_hundred_columns(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH
