"""The stage evaluate, and where its results are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick_run import QUICK

from llm_export import api
from llm_export.bundle.verify import check_bundle
from llm_export.cli.result import print_result
from llm_export.evaluation.base import EvaluationTask, Request, Subject
from llm_export.evaluation.results import Score
from llm_export.metrics.value import Value
from llm_export.plugins_registration import REGISTRIES
from llm_export.sharing.licences import licence
from llm_export.sharing.pack import pack
from llm_export.sweep.finished import results_of
from llm_export.sweep.state import Row
from llm_export.sweep.table import document


class Longest:
    """A task that a plugin could bring."""

    about = "The context of each model."
    columns = (Value("tokens", "context", "tokens", True, short_title="ctx", form="{:.0f}"),)

    def __init__(self, request: Request) -> None: ...

    def score(self, subject: Subject) -> Score:
        if subject.layer == "transformed":
            raise ValueError("not this one")
        return Score(subject.layer, 1, {"tokens": float(subject.context_length)})

    def close(self) -> None: ...


TASK = EvaluationTask("longest", Longest)


def test_what_was_evaluated_is_shown_everywhere(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = REGISTRIES["evaluation_tasks"]
    monkeypatch.setitem(tasks._entries, "longest", f"{__name__}:TASK")
    monkeypatch.setitem(tasks._origins, "longest", "a_plugin 1.0")
    words = ["evaluate=full", "evaluate.positions=20", "evaluate.window=20",
             "evaluate.tasks=[text,longest]"]  # fmt: skip
    out = tmp_path / "o"
    result = api.run(None, [*QUICK, *words], out=out, quiet=True)
    found = result.summary.evaluation
    assert found is not None
    assert found.missing == {"longest, transformed": "ValueError: not this one"}
    text, longest = found.tasks
    assert [score.layer for score in text.scores] == [
        "float",
        "transformed",
        "quantized",
        "program",
    ]
    for score in text.scores[1:]:
        assert score.values["mean_kl"] < 1e-6
    assert [score.values for score in longest.scores] == [{"tokens": 1024}] * 3
    kept = json.loads((out / "evaluation.json").read_text())
    assert [task["task"] for task in kept["tasks"]] == ["text", "longest"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["evaluation"]["longest"] == {"tokens": 1024}
    assert manifest["evaluation"]["text"].keys() == text.scores[-1].values.keys()
    assert manifest["roles"]["evaluation"] == "evaluation.json"
    stages = {s["name"]: s for s in json.loads((out / "run.json").read_text())["stages"]}
    assert stages["evaluate"]["facts"]["evaluation"] == kept
    assert "longest ctx 1024 (float32 1024)" in stages["evaluate"]["facts"]["summary"]
    report = (out / "report.md").read_text()
    assert "## How good is it?" in report
    assert "| model | context (tokens) |\n| --- | --- |\n| float | 1024 |" in report
    assert "- longest, transformed: ValueError: not this one" in report
    assert "| 16 to 63 | 5 |" in report
    print_result(result)
    printed = capsys.readouterr().out
    assert "longest                ctx 1024 (float32 1024)" in printed
    assert "not longest, transform" in printed
    card = pack(str(out), [], None, licence(None, None)).files["README.md"].decode()
    assert "| model | context (tokens) |" in card
    row = Row("x", [], {}, str(out), "done", results=results_of(out))
    table = document("s", [row], together=False)
    assert "| word ppl" in table
    assert "| ctx " in table
    assert table.count("| ppl ") == 1, "verification has it already"
    assert all(check.good for check in check_bundle(out, probe=lambda folder: []))
    # A run of the same words finds it in the cache.
    again = api.run(None, [*QUICK, *words], out=tmp_path / "p", quiet=True)
    assert "evaluate" in again.record.reused
    assert again.summary.evaluation == found
