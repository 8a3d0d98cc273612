"""Sweeps for real: one table, resumed after the end and after a kill, on every launcher."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from quick_run import QUICK
from safetensors.torch import save_file

from llm_export import api, versions
from llm_export.config.compose import Composer
from llm_export.config.recipe_files import recipe_yaml, resolved
from llm_export.files import sha256_of
from llm_export.resolve.recipe import resolve
from llm_export.sweep.board import Board
from llm_export.sweep.finished import is_finished
from llm_export.sweep.launchers import make_launcher
from llm_export.sweep.plan import make_plan
from llm_export.sweep.state import SweepCommand, SweepFolder

SMALL = (*QUICK, "deploy.questions=[]")


def made(folder: Path) -> dict[str, int]:
    """When each bundle of a sweep was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("*/manifest.json")}


@pytest.mark.slow
def test_one_table_and_the_same_command_resumes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SMALL, "quant=none,fp16,8da8w", f"out={tmp_path / 'sweep'}"]
    first = api.run_sweep(None, words)
    assert [(r.name, r.state) for r in first.rows] == [
        ("tiny_portable_none", "done"), ("tiny_portable_fp16", "done"),
        ("tiny_portable_8da8w", "refused"),
    ]  # fmt: skip
    assert first.exit_code == 2
    said = capfd.readouterr().err
    # The refusal is told before the first stage of the first variant.
    assert said.index("portable cannot run 8da8w") < said.index("[1/9] load")
    assert "[2/3] tiny_portable_fp16: done" in said
    state = json.loads((first.folder / "sweep.json").read_text())
    assert state["state"] == "failed"
    row = state["variants"][1]
    assert row["results"]["pte_mb"] < state["variants"][0]["results"]["pte_mb"]
    assert row["results"]["mean_kl"] > 0
    assert row["results"]["decode"] is None
    assert row["seconds"] > 0
    assert state["variants"][2]["error"]["exit_code"] == 2
    text = (first.folder / "sweep.md").read_text()
    assert text == first.text
    assert "| fp16  | done " in text

    before = made(first.folder)
    again = api.run_sweep(None, words, quiet=True)
    assert made(first.folder) == before
    assert [r.reused for r in again.rows] == ["bundle", "bundle", ""]
    assert again.rows[1].results == first.rows[1].results

    # What a bundle was made from decides, not that it is there.
    bundle, recipe = Path(again.rows[0].bundle), _recipe(words)
    assert is_finished(bundle, recipe)
    assert not is_finished(bundle, _recipe([*words, "verify.positions=60"]))
    with monkeypatch.context() as patch:
        patch.setattr(versions, "PACKAGES", ("torch",))
        assert not is_finished(bundle, recipe)
    program = bundle / "model.pte"
    program.write_bytes(program.read_bytes()[:-1])
    assert not is_finished(bundle, recipe)
    (bundle / "recipe.lock.yaml").write_text("- not a lock")
    assert not is_finished(bundle, recipe)


def _recipe(words: list[str]) -> Any:
    plan = make_plan(Composer(), words, Path("unused"))
    assert plan.variants[0].composed is not None
    return plan.variants[0].composed.recipe


def test_another_checkpoint_is_made_anew(tmp_path: Path, portable_bundle: Path) -> None:
    """The lock's digests are compared with those of the files that the recipe names now."""
    recipe = api.compose_recipe(str(portable_bundle / "recipe.yaml")).recipe
    recipe.name = "tiny_portable_none"
    assert is_finished(portable_bundle, recipe)
    weights = tmp_path / "weights.safetensors"
    save_file({"embed.weight": torch.zeros(4, 4)}, weights)
    recipe.checkpoint.path = str(weights)
    bundle = shutil.copytree(portable_bundle, tmp_path / "bundle")
    lock = yaml.safe_load((bundle / "recipe.lock.yaml").read_text())
    lock["recipe"] = resolved(resolve(recipe).recipe)
    for digest, same in ((sha256_of(weights), True), ("0" * 64, False)):
        lock["checkpoint"] = {weights.name: digest}
        (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
        manifest = json.loads((bundle / "manifest.json").read_text())
        size = (bundle / "recipe.lock.yaml").stat().st_size
        manifest["files"]["recipe.lock.yaml"]["bytes"] = size
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        assert is_finished(bundle, recipe) is same


@pytest.mark.slow
def test_a_sweep_that_was_killed_resumes(tmp_path: Path, warm: Path) -> None:
    out = tmp_path / "sweep"
    # The first variant's program is in the cache, the second one's is not.
    words = [*SMALL, "runtime.context_length=null,300", f"out={out}"]
    first, second = (f"tiny_portable_none+runtime.context_length={n}" for n in ("null", 300))
    job = subprocess.Popen(
        [sys.executable, "-m", "llm_export", "run", "-m", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (out / f".{second}.partial").exists():
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.send_signal(signal.SIGKILL)
    job.wait()
    states = [v["state"] for v in json.loads((out / "sweep.json").read_text())["variants"]]
    assert states == ["done", "running"]
    before = made(out)
    assert list(before) == [first]
    result = api.run_sweep(None, words, quiet=True)
    assert [row.state for row in result.rows] == ["done", "done"]
    assert [row.reused for row in result.rows] == ["bundle", ""]
    assert made(out)[first] == before[first]


LAUNCHERS = [
    ("joblib", "hydra_plugins.hydra_joblib_launcher", "hydra.launcher.n_jobs=2"),
    ("submitit_local", "hydra_plugins.hydra_submitit_launcher", "hydra.launcher.timeout_min=10"),
    ("ray", "ray", "hydra.launcher.ray.init.num_cpus=2"),
]


@pytest.mark.parametrize(
    ("launcher", "module", "setting"),
    [
        pytest.param(*one, id=one[0], marks=mark)
        for one, mark in zip(
            LAUNCHERS, (pytest.mark.slow, pytest.mark.release, pytest.mark.release), strict=True
        )
    ],
)
def test_a_launcher_reports_what_became_of_each_variant(
    tmp_path: Path, warm: Path, launcher: str, module: str, setting: str
) -> None:
    if find_spec(module.split(".")[0]) is None or find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    words = [*SMALL, "verify.quality.max_mean_kl=null,1e-30", setting]
    done = subprocess.run(
        [sys.executable, "-m", "llm_export", "run", "-m", *words, "--launcher", launcher,
         "out=sweep"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    # A line for each variant, and nothing of what their stages print.
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert sorted(line.rsplit(": ", 1)[1].split(",")[0] for line in lines) == ["done", "failed"]
    assert "above the limit" in done.stderr or "max_mean_kl" in done.stderr
    good, bad = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["variants"]
    assert (good["state"], bad["state"]) == ("done", "failed")
    assert bad["error"]["kind"] == "VerificationError"
    assert bad["error"]["line"] in " ".join(done.stdout.split())
    # Only what failed runs again.
    before = made(tmp_path / "sweep")
    again = api.run_sweep(None, [*words[:-1], f"out={tmp_path / 'sweep'}"], quiet=True)
    assert [row.reused for row in again.rows] == ["bundle", ""]
    assert made(tmp_path / "sweep") == before


def die(number: int) -> None:
    os._exit(9)


@pytest.mark.slow
def test_a_worker_that_dies_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    plan = make_plan(Composer(), [*SMALL, "quant=none,fp16", f"out={tmp_path}"], tmp_path)
    folder = SweepFolder(plan.folder)
    board = Board(plan, folder, SweepCommand(None, (), "basic"), together=True, quiet=True)
    launch = make_launcher("joblib", Composer(), ["hydra/launcher=joblib"], folder.jobs, die)
    numbers = board.start()
    with pytest.raises(Exception, match="terminated") as caught:
        launch(numbers)
    board.end(caught.value)
    folder.release()
    assert [row.state for row in board.rows] == ["failed", "failed"]
    assert "the job ended without a result: unexpected TerminatedWorkerError" in board.text()
    assert "tiny_portable_fp16: the job ended without a result" in capsys.readouterr().err


def test_an_interrupted_sweep_is_to_be_resumed(tmp_path: Path) -> None:
    plan = make_plan(Composer(), [*SMALL, "quant=none,fp16", f"out={tmp_path}"], tmp_path)
    folder = SweepFolder(plan.folder)
    board = Board(plan, folder, SweepCommand(None, (), "basic"), together=False, quiet=True)
    board.start()

    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        board.announced(interrupted)(0)
    assert json.loads((tmp_path / "sweep.json").read_text())["variants"][0]["state"] == "running"
    board.interrupt()
    folder.release()
    body = json.loads((tmp_path / "sweep.json").read_text())
    assert body["state"] == "interrupted"
    assert [v["state"] for v in body["variants"]] == ["waiting", "waiting"]


def test_a_recipe_file_sweeps_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(recipe_yaml(api.compose_recipe(None, [*SMALL, "name=mine"]).recipe))
    plan = make_plan(Composer(str(file)), ["runtime.context_length=256,300"], tmp_path)
    assert plan.folder.name == "mine+runtime.context_length"
    assert [v.row.name for v in plan.variants] == [
        "mine+runtime.context_length=256", "mine+runtime.context_length=300",
    ]  # fmt: skip
