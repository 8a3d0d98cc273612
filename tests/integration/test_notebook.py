"""The notebook in examples/ runs from top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "python_api.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(
    tmp_path: Path, stage_cache: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    body = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (body["nbformat"], body["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in body["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "commit it without outputs"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert "11 report Reported reused" in capsys.readouterr().out
    assert (tmp_path / "outputs" / "notebook" / "model.pte").is_file()
