"""`llm-export doctor`: what this machine can, in a table, as JSON, and for one backend."""

from __future__ import annotations

import json
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


def on_a_terminal(columns: int) -> list[str]:
    console = Console(
        file=StringIO(), force_terminal=True, width=columns, color_system=None, highlight=False
    )
    doctor._print_all(console, diagnose())
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def test_a_pipe_gets_a_line_a_backend(printed: Printed) -> None:
    text = printed()
    for name in BACKENDS:
        rows = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        assert len(rows) == 1, name
    row = next(line for line in text.splitlines() if line.startswith("portable "))
    assert row.split()[1:3] == ["yes", "yes"]
    assert "torch 2." in text
    assert "free in this folder" in text
    assert "\x1b" not in text


def test_what_lacks_has_its_fix_on_a_line_of_its_own() -> None:
    lines = on_a_terminal(80)
    found = diagnose()
    for state in found.backends:
        for lack in state.lacking:
            assert f"  {state.name}: {lack.reason}" in lines
            assert f"    fix: {lack.fix}" in lines
    heading = next(i for i, line in enumerate(lines) if line.split()[:2] == ["backend", "lowers"])
    table = lines[heading : heading + len(found.backends) + 2]
    assert all(len(line) <= 80 for line in table)


def test_a_wide_terminal_gets_all_in_the_table() -> None:
    text = "\n".join(on_a_terminal(200))
    assert "(experimental)" in text
    assert "ExecuTorch's Python package has no Metal runtime" in text


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
    assert "backend.options.soc_model SM8650 (str)" in text
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
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
