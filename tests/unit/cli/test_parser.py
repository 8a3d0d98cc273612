"""Misspelt options, and keys of a recipe that are written like options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_export.cli.main import main
from runtime_py.__main__ import main as run_runtime


@pytest.mark.parametrize(
    ("words", "what", "fix"),
    [
        ("run --model tiny", "no option '--model'", "take no dashes: model=tiny"),
        ("run model=tiny --backend=xnnpack", "no option '--backend'", "dashes: backend=xnnpack"),
        ("validate --quant.group_size 64", "no option '--quant.group_size'", "group_size=64"),
        ("run model=tiny --out", "no option '--out'", "take no dashes: out=VALUE"),
        ("run model=tiny --quite", "no option '--quite'", "did you mean '--quiet'?"),
        ("chat bundle --temprature 0", "no option '--temprature'", "'--temperature'"),
        ("generate --nonsense", "no option '--nonsense'", "did you mean"),
        ("cp", "RECIPE and FILE are missing", "llm-export cp RECIPE FILE"),
        ("embed", "error: BUNDLE is missing", "llm-export embed BUNDLE\n"),
        ("deploy --to cpp", "--to takes a value: --to TARGET DIR", "llm-export deploy --help"),
        ("cache foo", "there is no 'foo'; choices: ls, clear", "llm-export cache --help"),
        ("chat bundle --threads x", "--threads: 'x' is not a whole number", "chat --help"),
        ("chat bundle -z", "no option '-z'", "chat --help"),
        ("generate b --temp 0", "no option '--temp'", "did you mean '--temperature'?"),
        ("--hf_id=a/b --quant=8da4w", "no option '--quant'", "take no dashes: quant=8da4w"),
        ("chat bundle more", "takes no further word: more", "chat --help"),
        ("profile b --json --csv", "--csv: not together with --json", "profile --help"),
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


def test_the_runtime_alone_answers_in_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_runtime(["chat", "bundle", ""]) == 2
    assert "it takes no further word: ''" in capsys.readouterr().err
    for words, what, fix in (
        ("bench", "no verb 'bench'", "did you mean 'benchmark'?"),
        ("chat --messag x", "no option '--messag'", "did you mean '--message'?"),
        ("chat x --temp 0", "no option '--temp'", "did you mean '--temperature'?"),
        ("serve", "BUNDLE is missing", "python -m runtime_py serve BUNDLE"),
        ("benchmark x --repetitions y", "'y' is not a whole number", "benchmark --help"),
    ):
        assert run_runtime(words.split()) == 2
        said = capsys.readouterr().err
        assert what in said
        assert fix in said


def test_a_path_without_a_bundle_is_answered_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pte").write_text("hello")
    script = """
import sys
from llm_export.cli.main import main
from runtime_py.__main__ import main as run_runtime
for path in ("nowhere", "empty", "text.pte"):
    for verb in ("generate --prompt x", "serve", "evaluate"):
        assert main([*verb.split(), path]) == 2
    for verb in ("chat", "serve", "benchmark"):
        assert run_runtime([verb, path]) == 2
assert main(["bench", "text.pte"]) == 2
assert main(["run", "smollm2_135m_xnnpack_8da8v"]) == 2
assert "torch" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True,
                         text=True)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for text, times in (
        ("there is no such bundle", 6),
        ("this is not a bundle: it has no manifest.json", 6),
        ("it does not begin as an ExecuTorch program", 6),
    ):
        assert ran.stderr.count(text) == times, ran.stderr
