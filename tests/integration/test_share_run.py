"""From one person to another: the same recipe, in another folder, gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from warm_program import program as warm_program

from llm_export.checkpoints.cache import VARIABLE
from llm_export.stage_cache.settings import SIZE

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
FAST = ("verify=off", "benchmark=off", "deploy.questions=[]", "--quiet")


def program(bundle: Path) -> str:
    return hashlib.sha256((bundle / "model.pte").read_bytes()).hexdigest()


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.slow
def test_shared_fetched_and_made_again_it_is_the_same_program(cli: Cli, tmp_path: Path) -> None:
    warm_program.prepare_lowering()
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    theirs.mkdir()
    # Theirs has a cache of stages, empty before: the last run makes nothing twice.
    env = {"XDG_DATA_HOME": str(theirs / "data"), SIZE: "2GB", VARIABLE: str(theirs / "cache")}
    # A shipped option, edited, run.
    words = ("model=tiny", "model.config.num_hidden_layers=1", "quant=8da4w", "backend=xnnpack",
             "quant.group_size=64")  # fmt: skip
    (mine / "my.yaml").write_text(ok(cli("show", *words)))
    edited = (mine / "my.yaml").read_text().replace("context_length: null", "context_length: 256")
    (mine / "my.yaml").write_text(edited)
    ok(cli("run", "my.yaml", "out=made", *FAST, cwd=mine))  # with the seed 0
    assert json.loads((mine / "made/manifest.json").read_text())["program"]["context_length"] == 256
    # Shared, as an archive, with someone else.
    ok(cli("share", "made", "--to", "pack", cwd=mine))
    shutil.make_archive(str(theirs / "pack"), "gztar", mine, "pack")
    first = program(mine / "made")
    mine.rename(tmp_path / "gone")
    listed = ok(cli("get", "pack.tar.gz", "--yes", cwd=theirs, **env))
    name = "local/" + next(w for w in listed.split() if w.startswith("local/")).split("/")[1]
    lock = f"{name}/recipe.lock"
    # The lock makes the same bytes, in another folder and process, which orders sets otherwise.
    done = ok(cli("run", lock, "out=again", *FAST, cwd=theirs, PYTHONHASHSEED="1", **env))
    assert "the same program, bit by bit: model.pte" in done
    assert program(theirs / "again") == first
    assert "checks passed" in ok(cli("verify", "again", cwd=theirs))
    # What the lock pins is not here: nothing is run, unless it is allowed.
    place = theirs / "data/llm_export/recipes" / name / "recipe.lock.yaml"
    text = place.read_text()
    place.write_text(text.replace("executorch: ", "executorch: 0."))
    refused = cli("run", lock, "out=never", *FAST, cwd=theirs, **env)
    assert refused.returncode == 3
    assert "executorch: 0." in refused.stderr
    assert not (theirs / "never").exists()
    # A lock of another program is found out, and the bundle stays.
    place.write_text(text.replace(first, "f" * 64))
    other = cli("run", lock, "out=other", *FAST, cwd=theirs, **env)
    assert other.returncode == 1
    assert "this is another program" in other.stderr
    assert program(theirs / "other") == first


@pytest.mark.release  # the test above makes one program with two seeds
@pytest.mark.parametrize(
    "words",
    [
        ("quant=8da8w", "backend=xnnpack"),
        ("backend=portable",),
    ],
)
def test_an_export_is_the_same_in_every_process(
    words: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    made = set()
    for seed in ("0", "12345"):
        out = tmp_path / f"with_{seed}"
        ok(cli("run", "model=tiny", *words, f"out={out}", *FAST, "--no-cache", PYTHONHASHSEED=seed))
        made.add(program(out))
    assert len(made) == 1
