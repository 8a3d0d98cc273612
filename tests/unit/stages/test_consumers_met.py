"""The verdicts of consumers in a run: in its bundle, and where a target of the recipe refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from contract_bundle import methods, write_files
from quick_run import QUICK
from written_program import write_program

from llm_export import api
from llm_export.config.composed import Composed
from llm_export.consumers import CONSUMERS, check_for
from llm_export.errors import VerificationError
from llm_export.resolve.recipe import resolve
from llm_export.stages.reporting.consumers import compare_consumers


def test_a_target_that_cannot_load_the_bundle(
    tmp_path: Path, composed: Callable[..., Composed]
) -> None:
    write_program(write_files(tmp_path) / "model.pte", methods(get_model_schema=None))
    resolved = resolve(composed("model=tiny", "deploy.targets=[react_native,ios]").recipe)
    with pytest.raises(VerificationError) as error:
        compare_consumers(tmp_path, resolved)
    assert "react_native@0.11: get_model_schema is missing" in error.value.what
    assert error.value.where == "deploy.targets"
    assert "deploy.targets=[react_native@0.10,ios@1.5]; it meets" in str(error.value.fix)


def test_verdicts_of_all_are_in_the_bundle(portable_bundle: Path) -> None:
    entries = json.loads((portable_bundle / "manifest.json").read_text())["consumers"]
    assert set(entries) == set(CONSUMERS)
    for name, entry in entries.items():
        verdict = check_for(portable_bundle, name)
        assert entry == {"good": verdict.good, "failed": [row.what for row in verdict.failed]}
    assert entries["runtime_py@0.2"]["good"]
    assert entries["android@1.5"]["good"]
    assert "| android@1.5 | yes |" in (portable_bundle / "report.md").read_text()
    assert "Where it loads" in (portable_bundle / "report.html").read_text()


def test_a_run_whose_target_refuses_publishes_nothing(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report stage may fail without its bundle being lost, but not for this."""
    (tmp_path / "strict@1.yaml").write_text(
        "title: An app\n"
        "files: {licence.txt: {}}\n"
        'methods: [{forward: {inputs: ["int64[1,S]", "int64[1]"], outputs: ["float32[1,S?,V]"]}}]\n'
        "sources: {files: here, methods: here}\n"
    )
    (tmp_path / "strict_app.py").write_text(
        "from pathlib import Path\n"
        "from llm_export.consumers import read_contract\n"
        "STRICT = read_contract(Path(__file__).with_name('strict@1.yaml'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(CONSUMERS._entries, "strict@1", "strict_app:STRICT")
    monkeypatch.setitem(CONSUMERS._origins, "strict@1", "a test")
    words = [*QUICK, "verify=off", "deploy.targets=[strict]", "deploy.questions=[]"]
    with pytest.raises(VerificationError, match=r"strict@1: licence.txt is missing"):
        api.run(None, words, out=tmp_path / "o", quiet=True)
    assert not (tmp_path / "o").exists()
