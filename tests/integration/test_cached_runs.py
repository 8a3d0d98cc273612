"""Runs that reuse what former ones have finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from quick_run import QUICK
from warm_program import program

from llm_export.checkpoints.cache import VARIABLE
from llm_export.stage_cache.settings import SIZE

WORDS = ["model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack", "quant=8da8w",
         "benchmark=off", "runtime.context_length=128", "verify.positions=100",
         "verify.window=80", "verify.prefill=12"]  # fmt: skip
SMALL = [*QUICK, "model.config.num_hidden_layers=1"]
FIRST = ["load", "transform", "train", "quantize", "export", "lower", "package", "verify"]


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm_export", "run", *words]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(*words: str, cwd: Path) -> str:
    done = program(("run", *words), cwd, os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def record(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    program.prepare_lowering()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle ``out`` of a first run, and the ``cache`` that it filled."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SIZE, "2GB")
        patch.setenv(VARIABLE, str(folder / "cache"))
        run(*WORDS, f"out={folder / 'out'}", cwd=folder)
    return folder


@pytest.fixture
def again(made: Path, stage_cache: Path, tmp_path: Path) -> Path:
    """A copy of that bundle, whose run's stages are in this test's own cache."""
    shutil.copytree(made / "cache", stage_cache.parent)
    return shutil.copytree(made / "out", tmp_path / "out")


@pytest.mark.slow
def test_the_same_again_and_with_another_benchmark(again: Path, tmp_path: Path) -> None:
    out = again
    first = (out / "model.pte").read_bytes()
    assert record(out)["reused"] == []

    said = run(*WORDS, f"out={out}", cwd=tmp_path)
    second = record(out)
    assert second["reused"] == [*FIRST, "benchmark", "evaluate", "report"]
    assert "reused: load, transform, train, quantize, export, lower, package, verify" in said
    assert (out / "model.pte").read_bytes() == first
    assert all(s["facts"] for s in second["stages"] if s["name"] in ("quantize", "lower", "verify"))

    few = ["benchmark=quick", "benchmark.prompt_length=16", "benchmark.decode_length=8"]
    run(*WORDS, *few, f"out={out}", cwd=tmp_path)
    other = record(out)
    assert other["reused"] == FIRST
    speeds = json.loads((out / "benchmark.json").read_text(encoding="utf-8"))
    assert speeds["decode_tokens_per_second"]["median"] > 0

    assert "measured 20" in (out / "report.md").read_text(encoding="utf-8")
    assert "lower (reused, made 20" in (out / "report.md").read_text(encoding="utf-8")

    # Where it is written is no part of what is made.
    elsewhere = tmp_path / "elsewhere"
    run(*WORDS, f"out={elsewhere}", cwd=tmp_path)
    assert record(elsewhere)["reused"] == [*FIRST, "benchmark", "evaluate", "report"]
    assert "out=" not in (elsewhere / "recipe.lock.yaml").read_text(encoding="utf-8")

    run(*WORDS, "--no-cache", f"out={out}", cwd=tmp_path)
    assert record(out)["reused"] == []
    assert "Estimate for the stages" in (out / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_is_damaged_is_noticed_and_made_again(
    again: Path, stage_cache: Path, tmp_path: Path
) -> None:
    out = again
    first = (out / "model.pte").read_bytes()
    for blob in (stage_cache / "blobs").iterdir():
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 0xFF
        blob.write_bytes(data)
    said = run(*WORDS, f"out={out}", cwd=tmp_path)
    assert "is damaged (a file has another sha256); it was removed" in said
    assert record(out)["damaged_in_cache"]
    assert (out / "model.pte").read_bytes() == first
    assert len(record(out)["reused"]) < len(FIRST)
    run(*WORDS, f"out={out}", cwd=tmp_path)
    assert record(out)["reused"] == [*FIRST, "benchmark", "evaluate", "report"]


@pytest.mark.release
def test_a_run_killed_while_lowering_goes_on_after_export(
    stage_cache: Path, tmp_path: Path
) -> None:
    out, partial = tmp_path / "out", tmp_path / ".out.partial" / "run.json"
    process = start(*WORDS, f"out={out}", cwd=tmp_path)
    try:
        deadline = time.monotonic() + 240
        while True:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[0]
            stages = json.loads(partial.read_text())["stages"] if partial.is_file() else []
            if [s["name"] for s in stages if s["state"] == "done"][-1:] == ["export"]:
                time.sleep(0.5)  # within lowering, which takes seconds
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert not out.exists()
    run(*WORDS, f"out={out}", cwd=tmp_path)
    assert record(out)["reused"] == ["load", "transform", "train", "quantize", "export"]
    whole = tmp_path / "whole"
    run(*WORDS, "--no-cache", f"out={whole}", cwd=tmp_path)
    assert (whole / "model.pte").read_bytes() == (out / "model.pte").read_bytes()


@pytest.mark.slow
def test_two_runs_at_once_do_not_disturb_each_other(stage_cache: Path, tmp_path: Path) -> None:
    both = [("run", *SMALL, f"out={tmp_path / name}") for name in ("a", "b")]
    for done in program.at_once(both, tmp_path, os.environ):
        assert done.returncode == 0, done.stderr
    programs = [(tmp_path / name / "model.pte").read_bytes() for name in ("a", "b")]
    assert programs[0] == programs[1]
    run(*SMALL, f"out={tmp_path / 'a'}", cwd=tmp_path)
    assert "lower" in record(tmp_path / "a")["reused"]


@pytest.mark.slow
def test_a_sweep_shares_what_its_variants_have_in_common(stage_cache: Path, tmp_path: Path) -> None:
    # Nothing is in the cache before.
    words = [w for w in SMALL if not w.startswith("verify.positions")]
    out = tmp_path / "sweep"
    run("-m", *words, "verify.positions=60,100", f"out={out}", cwd=tmp_path)
    reused = [record(p.parent)["reused"] for p in sorted(out.rglob("run.json"))]
    assert sorted("lower" in one for one in reused) == [False, True]
