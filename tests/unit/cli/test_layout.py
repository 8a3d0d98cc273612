"""Two columns that fit, with words that can be copied."""

from __future__ import annotations

import pytest

from llm_export.cli.layout import WIDTH, beside
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


@pytest.mark.parametrize("words", [["ls"], ["ls", "recipes"], ["run", "--help", "quant"]])
def test_lists_fit_a_hundred_columns(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH
