"""Two columns that fit, with words that can be copied."""

from __future__ import annotations

import pytest

from llm_export.cli.layout import WIDTH, beside, columns_here
from llm_export.cli.main import main


def test_text_is_folded_beside_its_name() -> None:
    lines = beside("name", "word " * 40, 10)
    assert lines[0].startswith("name       word")
    assert all(line.startswith(" " * 11 + "word") for line in lines[1:])
    assert all(len(line) <= WIDTH for line in lines)
    assert beside("name", "", 10) == ["name"]


def test_what_is_to_be_copied_is_not_broken() -> None:
    path = "/" + "long-folder/" * 20
    assert any(path in line for line in beside("bundle", f"in {path}", 10))


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
