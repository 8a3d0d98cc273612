"""One writer at a time for an output, whatever the timing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile.outcome_record import note

from llm_export.errors import MissingDependencyError
from llm_export.output.lock import Busy, PathLock
from llm_export.output.working import private_folder, sweep
from llm_export.runner.workspace import Workspace

RACE = Path(__file__).with_name("race.py")
BUSY = "another run is working on this output"


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60, marks=pytest.mark.release)])
def test_six_writers_of_one_output(tmp_path: Path, seconds: float) -> None:
    words = [sys.executable, str(RACE), str(tmp_path / "o"), str(seconds), "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["writers"].keys() <= {"publish", "abandon", "discard", BUSY}, found
    assert "half a bundle" not in found["reader"]
    assert found["writers"]["publish"] > 1
    assert found["left"] in (["o"], [".o.partial", "o"]), "an abandoned run leaves its record"
    note("writers of one output", held=found["writers"]["publish"])
    note("writers of one output", refused=found["writers"].get(BUSY, 0))


def test_a_lock_on_a_file_without_a_name_is_no_lock(tmp_path: Path) -> None:
    """A process has opened the file when its holder unlinks it; a third one makes a new file."""
    place = tmp_path / "lock"
    first = PathLock(place)
    with pytest.raises(Busy):
        PathLock(place)
    opened = os.open

    def late(*args: object, **named: object) -> int:
        """Opens; then the holder goes, before the lock is asked for."""
        file = opened(*args, **named)  # type: ignore[arg-type]
        first.release()
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", late)
        second = PathLock(place)
    with pytest.raises(Busy):
        PathLock(place)
    second.release()
    assert not place.exists()


def test_a_lock_removes_no_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("thesis")
    with pytest.raises(OSError, match="is no lock file"):
        PathLock(tmp_path / "lock")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is no lock file"):
        PathLock(tmp_path / "fifo")
    assert (tmp_path / "lock").read_text() == "thesis"


def test_a_killed_writer_keeps_nobody_out(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        Workspace(tmp_path / "o")
        private_folder(tmp_path / "o")[0].mkdir()
        (tmp_path / "ready").touch()
        time.sleep(60)
        os._exit(1)
    try:
        while not (tmp_path / "ready").exists():
            time.sleep(0.005)
        with pytest.raises(MissingDependencyError, match=BUSY):
            Workspace(tmp_path / "o")
        sweep(tmp_path / "o")
        assert list(tmp_path.glob(".o.partial-????????")), "its writer lives"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    Workspace(tmp_path / "o").discard()
    assert [p.name for p in tmp_path.iterdir()] == ["ready"]
    note("writers of one output", held=1, refused=1)
