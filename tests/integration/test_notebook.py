"""The notebook in examples/ runs from top to bottom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "python_api.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, stage_cache: Path) -> None:
    body = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (body["nbformat"], body["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in body["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "commit it without outputs"
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join("".join(c["source"]) for c in cells), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=dict(os.environ), capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "11 report Reported reused" in done.stdout
    assert (tmp_path / "outputs" / "notebook" / "model.pte").is_file()
