"""Misspelt options, and keys of a recipe that are written like options."""

from __future__ import annotations

import pytest

from llm_export.cli.main import main


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        ("run --model tiny", "no option '--model'", "take no dashes: model=tiny"),
        ("run model=tiny --backend=xnnpack", "no option '--backend'", "dashes: backend=xnnpack"),
        ("validate --quant.group_size 64", "no option '--quant.group_size'", "group_size=64"),
        ("run model=tiny --out", "no option '--out'", "take no dashes: out=VALUE"),
        ("run model=tiny --quite", "no option '--quite'", "did you mean '--quiet'?"),
        ("chat bundle --temprature 0", "no option '--temprature'", "'--temperature'"),
        ("doctor --zzzzzzzz", "no option '--zzzzzzzz'", "llm-export doctor --help"),
    ],
)
def test_an_unknown_option_is_answered_with_what_may_be_meant(
    words: str, what: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert what in said
    assert fix in said
    assert len(said.splitlines()) == 3
