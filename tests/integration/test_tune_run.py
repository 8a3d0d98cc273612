"""A tune for real: trials, front and recipes, resumed by the same command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_export import api
from llm_export.config.compose import Composer
from llm_export.resolve.recipe import resolve

SMALL = ("model=tiny", "runtime=static", "benchmark=off", "verify.positions=50",
         "deploy.questions=[]", "backend=portable")  # fmt: skip


@pytest.mark.slow
def test_a_tune_finds_the_front_and_resumes(
    tmp_path: Path, warm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tune"
    words = [*SMALL, "quant=none,fp16,8da8w", f"out={folder}"]
    goals = ["quality", "size"]
    first = api.tune(None, words, objectives=goals, budget="1runs")
    assert [r.state for r in first.rows if r.state == "done"] == ["done"]
    assert "1 of 1 runs are done" in first.ended
    made = {p: p.stat().st_mtime_ns for p in folder.glob("*/model.pte")}

    again = api.tune(None, words, objectives=goals, budget="9runs")
    assert again.ended == "every combination was tried"
    assert {p: p.stat().st_mtime_ns for p in made} == made, "what was done is not done again"
    states = {r.swept["quant"]: r.state for r in again.rows}
    assert states == {"none": "done", "fp16": "done", "8da8w": "refused"}
    # float32 is the best in quality, float16 in size.
    assert [r.swept["quant"] for r in again.front] == ["none", "fp16"]
    assert "portable cannot run 8da8w" in capfd.readouterr().err

    assert again.recipe is not None
    assert again.best is not None
    for row in again.front:
        written = api.compose(folder / "front" / f"{row.name}.yaml").recipe
        trial = Composer().compose(row.overrides).recipe
        assert resolve(written).recipe.quant == resolve(trial).recipe.quant
        assert written.out is None
    assert api.check(again.recipe) == []
    body = json.loads((folder / "tune.json").read_text())
    assert [t["front"] for t in body["trials"] if t["state"] == "done"] == [True, True]
    assert "## Front" in (folder / "tune.md").read_text()

    bounded = api.tune(None, [*words[:-1], f"out={tmp_path / 'bounded'}"], objectives=["size"],
                       require=["mean_kl < 1e-9"], budget="9runs", quiet=True)  # fmt: skip
    assert [r.swept["quant"] for r in bounded.front] == ["none"]
    assert bounded.best is not None
