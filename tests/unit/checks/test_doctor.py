"""`llm-export doctor`: what this machine can, in a table, as JSON, and for one backend."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from llm_export.backends import BACKENDS
from llm_export.backends.known_issues import KNOWN
from llm_export.checks.doctor import details_of, diagnose
from llm_export.cli import doctor
from llm_export.cli.main import main
from llm_export.errors import RecipeError

Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """printed(*words) is what the verb prints to a pipe."""

    def run(*words: str) -> str:
        assert main(["doctor", *words]) == 0
        return capsys.readouterr().out

    return run


def on_a_terminal(columns: int, *, everything: bool) -> list[str]:
    console = Console(
        file=StringIO(), force_terminal=True, width=columns, color_system=None, highlight=False
    )
    doctor._print_all(console, diagnose(), everything=everything)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_what_runs_here_comes_first_and_the_others_on_request(printed: Printed) -> None:
    text, everything = printed(), printed("--all")
    states = {state.name: state for state in diagnose().backends}
    assert text.index("run here") < text.index("  xnnpack") < text.index("lack something here")
    for said in (text, everything):
        for name in BACKENDS:
            assert re.search(rf"\b{name}\b", said), name
        assert "torch 2." in said
        assert "free in this folder" in said
        assert "\x1b" not in said
    lacking = next(s for s in states.values() if not s.lowers and not s.runs)
    assert lacking.lacking[0].fix not in text
    assert lacking.lacking[0].fix in everything
    assert "doctor --all" in text
    assert "xnnpack-weight-only" in text
    assert "mlx-no-dynamic-activations" not in text, "MLX does not run here"
    assert "mlx-no-dynamic-activations" in everything


@pytest.mark.parametrize("words", [(), ("--all",), ("xnnpack",), ("qnn",)])
def test_a_pipe_gets_a_hundred_columns(printed: Printed, words: tuple[str, ...]) -> None:
    """But for commands and links, which are to be copied."""
    lines = [line for line in printed(*words).splitlines() if not re.match(r" +(fix|see): ", line)]
    assert max(map(len, lines)) <= 100


def test_what_lacks_has_its_fix_on_a_line_of_its_own() -> None:
    lines = on_a_terminal(80, everything=True)
    for state in diagnose().backends:
        for lack in state.lacking:
            assert f"    fix: {lack.fix}" in lines
    assert max(len(line) for line in lines if not re.match(r" +(fix|see): ", line)) <= 80


def test_json_says_the_same(printed: Printed) -> None:
    facts = json.loads(printed("--json"))
    assert {b["name"] for b in facts["backends"]} == set(BACKENDS)
    by_name = {b["name"]: b for b in facts["backends"]}
    assert by_name["xnnpack"]["lowers"] is True
    assert by_name["xnnpack"]["lacking"] == []
    assert by_name["cuda"]["runs"] is False
    assert all(lack["reason"] and lack["fix"] for b in facts["backends"] for lack in b["lacking"])
    assert facts["machine"]["disk_free_bytes"] > 0
    assert "executorch" in facts["packages"]
    assert {i["id"] for i in facts["known_issues"]} <= {i.id for i in KNOWN}


def test_one_backend_with_its_options(printed: Printed) -> None:
    text = printed("qnn")
    assert re.search(r"backend\.options\.soc_model +SM8650 +str +the chip", text)
    assert "Snapdragon 8 Gen 3" in text
    assert "16a4w" in text
    assert "fixed only" in text
    facts = json.loads(printed("xnnpack", "--json"))
    assert "8da4w" in facts["schemes"]["linear"]
    assert facts["attention"][0] == "custom_op_by_head"
    assert facts["options"] == [
        {"key": "backend.options.delegated_prefill", "type": "bool", "default": True}
    ]
    assert "xnnpack-weight-only" in {issue["id"] for issue in facts["known_issues"]}


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "xnpack"]) == 2
    assert "'xnnpack'" in capsys.readouterr().err
    with pytest.raises(RecipeError):
        details_of("xnpack")


def test_it_is_quick_because_it_imports_nothing_large(tmp_path: Path) -> None:
    code = (
        "import sys; from llm_export.cli.main import main; code = main(['doctor']); "
        "large = {'torch', 'executorch', 'transformers', 'openvino', 'coremltools'}; "
        "sys.exit(code or ', '.join(sorted(large & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
