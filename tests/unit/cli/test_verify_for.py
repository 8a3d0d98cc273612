"""`llm-export verify BUNDLE --for NAME`."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract_bundle import methods, write_files
from written_program import write_program

from llm_export.cli.main import main


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """One that only react_native@0.11 refuses, and what takes images or needs a manifest."""
    write_program(write_files(tmp_path) / "model.pte", methods(get_model_schema=None))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("words", "code", "said", "unsaid"),
    [
        (["--for", "android"], 0, ["ok      get_max_seq_len", "app     renders"], ["FAILED"]),
        (
            ["--for", "react_native", "--for", "ios"], 2,
            ["FAILED  get_model_schema", "fix: llm-export run", "source: https://", "1 of 2"],
            ["row by row"],
        ),
        (["--for", "react_native", "-q"], 2, ["react_native@0.11: ", "FAILED"], ["ok  ", "app  "]),
        (["--for", "android", "-q"], 0, ["1 of 1 contract met"], ["android@1.5:"]),
        (
            ["--for", "all"], 0,
            ["ok      react_native@0.10", "react_native@0.11      get_model_schema", "row by row"],
            ["fix:"],
        ),
        (["--for", "all", "--for", "react_native"], 2, ["ok      ios@1.5", "fix:"], []),
        (["--for", "androit"], 2, ["did you mean 'android'?"], []),
    ],
)  # fmt: skip
def test_verdicts(
    bundle: str,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: list[str],
    unsaid: list[str],
) -> None:
    assert main(["verify", bundle, *words]) == code
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert all(each in text for each in said), text
    assert not any(each in text for each in unsaid), text
