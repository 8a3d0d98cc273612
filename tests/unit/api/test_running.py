"""Runs that stop after a stage, or go one stage at a time."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from quick_run import QUICK

from llm_export import api
from llm_export.bundle.verify import check_bundle
from llm_export.errors import LlmExportError, VerificationError
from llm_export.pipeline.artifacts import Loaded, Lowered, Reported, Transformed
from llm_export.runner.stages import STAGES
from runtime_py.conditions import processor

NAMES = [stage.name for stage in STAGES]
Calls = list[tuple[str, int, int]]


def test_a_run_stops_after_a_stage(warm: Path, tmp_path: Path) -> None:
    calls: Calls = []
    result = api.run(
        None, QUICK, until="quantize", out=tmp_path / "o", quiet=True,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert result.stage == "quantize"
    assert isinstance(result.artifact, Transformed)
    assert sum(p.numel() for p in result.artifact.model.parameters()) > 1000
    assert [stage.name for stage in result.record.stages] == NAMES[:4]
    # All of it came from the cache, and a reused stage only ends.
    assert calls == [(name, 1, 1) for name in NAMES[:4]]
    assert not (tmp_path / "o").exists()
    result.close()
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_artifact_go_with_the_result(warm: Path, tmp_path: Path) -> None:
    with api.run(None, QUICK, until="lower", out=tmp_path / "o", quiet=True) as result:
        assert isinstance(result.artifact, Lowered)
        file = result.artifact.program_file
        assert file.stat().st_size > 100_000
        # It keeps no other run from the output.
        again = api.run(None, QUICK, until="lower", out=tmp_path / "o", quiet=True)
    assert not file.exists()
    assert isinstance(again.artifact, Lowered)
    assert again.artifact.program_file.exists()
    del again
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(warm: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        assert list(tmp_path.glob(".o.partial*"))
        raise KeyboardInterrupt

    for progress in (None, interrupt):
        run = api.steps(None, QUICK, out=tmp_path / "o", quiet=True, cache=False, progress=progress)
        if progress is None:
            next(run)
            run.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                next(run)
        assert list(tmp_path.iterdir()) == []


def test_a_killed_runs_folder_is_removed_by_the_next(warm: Path, tmp_path: Path) -> None:
    left = tmp_path / ".o.partial-0123abcd"
    left.mkdir()
    (left / "lock").touch()
    others = tmp_path / ".o.partial-mine"
    others.mkdir()
    with api.run(None, QUICK, until="load", out=tmp_path / "o", quiet=True) as result:
        assert isinstance(result.artifact, Loaded)
        assert not left.exists()
    assert list(tmp_path.iterdir()) == [others]


def test_steps_hand_out_artifacts_and_publish_at_the_end(
    warm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    calls: Calls = []

    def progress(stage: str, done: int, total: int) -> None:
        calls.append((stage, done, total))
        print("said", stage, done, total)

    kinds = []
    with api.steps(None, QUICK, out=out, quiet=True, progress=progress) as steps:
        for step in steps:
            assert (step.name, step.total) == (NAMES[step.number - 1], len(NAMES))
            kinds.append(type(step.artifact).__name__)
            if step.number < step.total:
                assert not out.exists(), step.name
                with pytest.raises(LlmExportError, match="no result before its last stage"):
                    _ = steps.result
    assert kinds == [
        "Loaded", "Prepared", "Prepared", "Transformed", "Exported", "Lowered", "Packaged",
        "Verified", "Benchmarked", "Benchmarked", "Reported",
    ]  # fmt: skip
    assert steps.result.bundle == out
    assert steps.result.record.reused == NAMES[:6]
    assert isinstance(step.artifact, Reported)
    assert step.artifact.bundle == out
    assert list(tmp_path.iterdir()) == [out]
    assert calls[:6] == [(name, 1, 1) for name in NAMES[:6]]
    for name in NAMES[6:]:
        own = [call for call in calls if call[0] == name]
        assert own[0] == (name, 0, 1)
        assert own[-1][1] == own[-1][2]
    # The output of stages goes to the log, that of the callback does not.
    assert len(capfd.readouterr().out.splitlines()) == len(calls)
    llm = steps.result.load()
    assert len(llm.generate("abc", max_new_tokens=3).tokens) == 3
    assert api.generate(llm, "abc", max_new_tokens=3, temperature=0.0).tokens
    assert api.chat(out, "hello", max_new_tokens=2, temperature=0.0).tokens
    assert all(check.good for check in check_bundle(out, probe=lambda folder: []))


def test_steps_that_are_left_leave_nothing(warm: Path, tmp_path: Path) -> None:
    with api.steps(None, QUICK, out=tmp_path / "o", quiet=True) as steps:
        first, second = next(steps), next(steps)
        assert second.artifact
        with pytest.raises(LlmExportError) as caught:
            _ = first.artifact
    assert "released" in caught.value.what
    assert "step 'load'" in str(caught.value.where)
    assert "before the next step" in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


def test_a_former_bundle_survives_steps_that_are_left(warm: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    out.mkdir()
    with api.steps(None, QUICK, out=out, quiet=True) as steps:
        next(steps)
    assert out.is_dir()
    assert list(tmp_path.iterdir()) == [out]


def test_an_error_of_the_caller_is_the_callers(warm: Path, tmp_path: Path) -> None:
    def fail() -> None:
        with api.steps(None, QUICK, out=tmp_path / "o", quiet=True) as steps:
            for _ in steps:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_step_keeps_its_record(warm: Path, tmp_path: Path) -> None:
    words = [*QUICK, "verify.quality.max_mean_kl=0"]
    steps = api.steps(None, words, out=tmp_path / "o", quiet=True)
    assert [next(steps).name for _ in range(7)] == NAMES[:7]
    with pytest.raises(VerificationError, match="exceeds 0"):
        next(steps)
    record = json.loads((tmp_path / ".o.partial" / "run.json").read_text())
    assert (record["state"], record["stages"][-1]["name"]) == ("failed", "verify")
    assert not (tmp_path / "o").exists()
    with pytest.raises(StopIteration):
        next(steps)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    for call in (api.load, lambda b: api.generate(b, "x"), lambda b: api.chat(b, "x"), api.bench):
        with pytest.raises(LlmExportError) as caught:
            call(tmp_path / "none")
        assert str(tmp_path / "none") in str(caught.value)


# -- evidence ------------------------------------------------------------------------------

MEASURED = ["model=tiny", "runtime=static", "verify.positions=50"]


def proven(bundle: Path) -> dict[str, Any]:
    """The record of a bundle that is whole, verified and usable."""
    assert all(check.good for check in check_bundle(bundle, probe=lambda folder: []))
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["proof"]["verified"]
    assert {"recipe", "lock"} <= set(manifest["roles"])
    assert api.generate(bundle, "abc", max_new_tokens=2).tokens
    record: dict[str, Any] = json.loads((bundle / "run.json").read_text())
    assert record["state"] == "done"
    return {stage["name"]: stage for stage in record["stages"]}


def test_a_failed_benchmark_leaves_the_bundle_and_is_tried_again(
    warm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "o"
    with api.run(None, MEASURED, until="verify", out=tmp_path / "v", quiet=True):
        pass  # verification, too, starts a process of its own
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        result = api.run(None, MEASURED, out=out)
    assert result.summary.speed is None
    stages = proven(out)
    assert (stages["benchmark"]["state"], stages["report"]["state"]) == ("failed", "done")
    reason = "the benchmark failed (exit 1): no message"
    assert stages["benchmark"]["error"] == reason
    assert "the next run tries 'benchmark' again" in stages["report"]["cache"]
    assert f"failed: {reason}; the bundle is kept" in capfd.readouterr().err
    assert f"Not measured: {reason}." in (out / "report.md").read_text()
    assert not (out / "benchmark.json").exists()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    again = api.run(None, MEASURED, out=out, quiet=True)
    assert again.record.reused == NAMES[:8]


@pytest.mark.slow
def test_a_disturbed_benchmark_is_for_one_run(
    warm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out, figures = tmp_path / "o", tmp_path / "figures.json"
    spread = {"median": 1.0, "min": 1.0, "max": 1.0, "stdev": 0.0}
    speeds = ("time_to_first_token_seconds", "prefill_tokens_per_second",
              "decode_tokens_per_second")  # fmt: skip
    said = {
        "settings": {"prompt_length": 8, "decode_length": 2, "warmup": 0, "repetitions": 1,
                     "threads": 1},
        "machine": processor(), "load_seconds": 1.0, "peak_memory_bytes": 1,
        "conditions": {"load_average_before": 9.0, "other_cpus": 2.0, "disturbed": True},
        **dict.fromkeys(speeds, spread),
    }  # fmt: skip
    figures.write_text(json.dumps(said))
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\ncat '{figures}'\n")
    script.chmod(0o755)
    words = [*MEASURED, "benchmark.repetitions=2"]
    with api.run(None, words, until="verify", out=tmp_path / "v", quiet=True):
        pass  # verification, too, starts a process of its own
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(script))
        result = api.run(None, words, out=out)
    assert "disturbed: the next run measures again" in capfd.readouterr().err
    stages = proven(result.bundle)
    for name in ("benchmark", "report"):
        assert stages[name]["cache"].startswith("not kept: the next run does 'benchmark' again")
    monkeypatch.setattr(sys, "executable", str(script))
    assert api.run(None, words, out=out, quiet=True).record.reused == NAMES[:8]


def test_a_failed_report_leaves_the_bundle(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*anything: object) -> str:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("llm_export.stages.report.render_report", fail)
    result = api.run(None, [*QUICK, "deploy.questions=[x]"], out=tmp_path / "o", quiet=True)
    report = proven(result.bundle)["report"]
    assert (report["state"], report["error"]) == ("failed", "ZeroDivisionError: by zero")
    assert not (result.bundle / "report.md").exists()
    assert result.summary.answers == ()


def test_a_question_that_cannot_be_asked_is_unanswered(warm: Path, tmp_path: Path) -> None:
    words = [*QUICK, f"deploy.questions=['{'long ' * 500}','Hello?']"]
    result = api.run(None, words, out=tmp_path / "o", quiet=True)
    long, short = result.summary.answers
    assert (long.answer, short.problem) == ("", None)
    assert "the prompt has 2518 tokens" in str(long.problem)
    assert short.answer
    report = proven(result.bundle)["report"]
    assert report["state"] == "done"
    assert "1 question answered, 1 not: the prompt has" in report["facts"]["summary"]
    assert "Not answered: the prompt has 2518" in (result.bundle / "report.md").read_text()
    answers = json.loads((result.bundle / "answers.json").read_text())
    assert [("problem" in a, bool(a["answer"])) for a in answers] == [(True, False), (False, True)]


def test_what_a_cache_cannot_store_fails_no_run(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*anything: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr("llm_export.stage_cache.store.Cache.add", fail)
    words = [*QUICK, "verify.positions=60"]
    stages = proven(api.run(None, words, out=tmp_path / "o", quiet=True).bundle)
    assert stages["verify"]["cache"] == "not kept: ValueError: no such thing"


def test_a_caller_that_ends_a_run_ends_it_in_each_stage(warm: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "report":
            raise KeyError("enough")

    words = [*QUICK, "deploy.questions=[y]"]
    with pytest.raises(LlmExportError, match="enough"):
        api.run(None, words, out=tmp_path / "o", quiet=True, progress=stop)
    assert not (tmp_path / "o").exists()
