"""Runs that fail: the message, and the files that are left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from quick_run import QUICK

from llm_export import api
from llm_export.errors import InputError, MissingDependencyError, VerificationError
from llm_export.files import sha256_of
from runtime_py.bundle import Bundle

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_program_past_its_thresholds_leaves_no_bundle(warm: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    recipe = api.compose_recipe(None, [*QUICK, "verify.quality.max_mean_kl=0", f"out={out}"])
    with pytest.raises(VerificationError, match=r"mean KL .* exceeds 0"):
        api.run_recipe(recipe, quiet=True)
    assert not out.exists()
    record = json.loads((tmp_path / ".o.partial" / "run.json").read_text())
    assert record["state"] == "failed"
    assert record["stages"][-1]["name"] == "verify"
    assert not list((tmp_path / ".o.partial").rglob("*.pte"))


def test_verification_off_is_said(warm: Path, tmp_path: Path) -> None:
    recipe = api.compose_recipe(None, [*QUICK, "verify=off", f"out={tmp_path / 'o'}"])
    bundle = api.run_recipe(recipe, quiet=True).bundle
    proof = Bundle.open(bundle).manifest["proof"]
    assert proof == {"verified": False, "reason": "verification is off in the recipe (verify=off)"}
    assert "Not verified" in (bundle / "report.md").read_text()


def test_a_former_bundle_survives_a_failed_run(
    warm: Path, portable_bundle: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(portable_bundle, tmp_path / "o")
    before = sha256_of(out / "manifest.json")
    bad = api.compose_recipe(None, [*QUICK, "verify.quality.max_mean_kl=0", f"out={out}"])
    with pytest.raises(VerificationError):
        api.run_recipe(bad, quiet=True)
    assert sha256_of(out / "manifest.json") == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(warm: Path, small_disk: Path, tmp_path: Path) -> None:
    composed = api.compose_recipe(None, [*QUICK, f"out={small_disk / 'o'}"])
    with pytest.raises(MissingDependencyError, match="no space is left on the disk"):
        api.run_recipe(composed, quiet=True, limits=False)
    assert not (small_disk / "o").exists()
    assert not list(small_disk.rglob("*.pte"))


def test_a_foreign_output_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match=r"not a bundle's: mine\.txt"):
        api.run_recipe(api.compose_recipe(None, [*QUICK, f"out={tmp_path / 'o'}"]), quiet=True)


def start_and_kill(out: Path, after: int, **env: str) -> None:
    """Start a run and kill it -9 when ``after`` stages are done."""
    words = [sys.executable, "-m", "llm_export", "run", *QUICK, f"out={out}"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=out.parent)
    assert process.stderr is not None
    seen = 0
    while seen < after:
        line = process.stderr.readline()
        assert line, f"the run ended before stage {after}"
        seen += line.startswith(f"[{seen + 1}/9]") and " s " in line and "..." not in line
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL


def check_killed_run(tmp_path: Path, after: int) -> None:
    out = tmp_path / "o"
    start_and_kill(out, after)
    assert not out.exists(), "something that looks whole was left"


@pytest.mark.parametrize(
    "after",
    [pytest.param(n, marks=pytest.mark.slow if n == 8 else pytest.mark.release) for n in range(9)],
)
def test_killed_in_each_stage_then_run_again(
    tmp_path: Path, cli: Cli, after: int, request: pytest.FixtureRequest
) -> None:
    check_killed_run(tmp_path, after)
    request.getfixturevalue("warm")
    done = cli("run", *QUICK, f"out={tmp_path / 'o'}")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["o"]
    assert Bundle.open(tmp_path / "o", verify_hashes=True)


@pytest.mark.slow
def test_interrupting_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "llm_export", "run", *QUICK, f"out={tmp_path / 'o'}"]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        # A shell that starts jobs in the background makes them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    assert "expects about" in process.stderr.readline()
    assert "[1/9]" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not (tmp_path / "o").exists()
    assert os.path.isdir(tmp_path)
