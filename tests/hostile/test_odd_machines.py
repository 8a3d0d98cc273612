"""Machines without a home directory, without /proc, and with folders that others have prepared."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile.outcome_record import note

from llm_export import home
from llm_export.checkpoints.cache import VARIABLE, cache_dir, cache_note
from llm_export.cli.main import main
from llm_export.config.library import library_folder
from llm_export.pipeline.console import output_to
from runtime_py import LLM
from runtime_py.errors import BundleRuntimeError
from runtime_py.processor_table import obstacle_to_threads

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = 54321
UNSHARE = ["unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]


def as_nobody(do: Callable[[], object], before: Callable[[], object] = lambda: None) -> None:
    """Call ``do`` in a fork, as a user whom the machine does not know.

    Args:
        before: called first, as the present user: it imports what the other one may not read.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            unread = io.StringIO()
            with contextlib.redirect_stdout(unread), contextlib.redirect_stderr(unread):
                before()
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            for name in ("HOME", "USER", "LOGNAME", VARIABLE):
                os.environ.pop(name, None)
            for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
                os.environ.pop(name, None)
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "see the traceback"


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that everybody may use, also the current one."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


COMMANDS = {
    "ls": (["ls"], 0, "xnnpack"),
    "get": (["get", "/nowhere/at/all"], 2, "there is no such place"),
    "validate": (["validate", "model=tiny", "backend=portable", "--quick"], 0, "sound"),
    "cache ls": (["cache", "ls"], 0, "0 finished stages"),
    "a path below no home": (["validate", "model=auto", "checkpoint.path=~/m"], 2, "~/m"),
    "an output below no home": (
        ["validate", "model=tiny", "out='~/o'", "--quick"],
        2,
        "no home directory",
    ),
}


@ROOT
def test_a_user_without_a_home(open_folder: Path) -> None:
    def call(words: list[str]) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return main(words), said.getvalue()

    def all_of_them() -> None:
        for words, code, said in COMMANDS.values():
            found, text = call(words)
            assert found == code, text
            assert said in text
            assert "unexpected" not in text

    as_nobody(all_of_them, lambda: [call(words) for words, _, _ in COMMANDS.values()])
    refused = sum(bool(code) for _, code, _ in COMMANDS.values())
    note("odd machines", held=len(COMMANDS) - refused, refused=refused)


@ROOT
def test_the_cache_of_a_user_without_a_home(open_folder: Path) -> None:
    """It is private, and a folder that someone else has put there is not used."""

    def own() -> None:
        folder = cache_dir()
        assert folder == open_folder / f"llm_export-{NOBODY}"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert str(folder) in str(cache_note())
        assert library_folder() == folder / "recipes"

    def taken() -> None:
        folder = cache_dir()
        with pytest.raises(OSError, match=r".+"):
            folder.mkdir(parents=True)

    as_nobody(own)
    place = open_folder / f"llm_export-{NOBODY}"
    place.rmdir()
    place.mkdir(mode=0o777)  # of root
    as_nobody(taken)
    place.rmdir()
    place.symlink_to(open_folder)
    as_nobody(taken)
    note("odd machines", held=1, refused=2)


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert home.is_temporary(home.own_folder(".cache", "XDG_CACHE_HOME"))


def test_without_proc() -> None:
    """What needs no torch: psutil raises there, and the C library still knows the memory."""
    probe = (
        "from runtime_py import memory, conditions;"
        "assert memory.available() > 1 << 28 and memory.installed() > 1 << 28;"
        "assert memory.peak() > 1 << 20 and memory.resident() > 1 << 20;"
        "conditions._LEAST = 0;\n"
        "with conditions.OtherLoad() as load: pass\n"
        "assert load.cpus is None;"
        "from runtime_py.processor_table import obstacle_to_threads; print(obstacle_to_threads())"
    )
    words = [*UNSHARE, sys.executable, "-c", probe]
    if os.geteuid() or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces")
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "/proc/cpuinfo cannot be read: No such file" in done.stdout
    note("odd machines", held=1)


def test_a_program_is_refused_where_executorch_would_end_the_process(
    portable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runtime_py.program as module
    from llm_export.backends import BACKENDS, obstacle_to_running

    assert obstacle_to_threads() == ""
    empty = tmp_path / "cpuinfo"
    empty.touch()
    monkeypatch.setattr("runtime_py.processor_table.FILE", empty)
    with pytest.raises(BundleRuntimeError, match="hides its processor"):
        LLM.load(portable_bundle)
    with pytest.raises(BundleRuntimeError, match="hides its processor"):
        module.set_threads(1)
    assert "is empty" in obstacle_to_running([BACKENDS.get("portable")])
    note("odd machines", refused=2)


def test_a_log_that_was_removed_ends_nothing(tmp_path: Path) -> None:
    for log in (tmp_path / "gone" / "run.log", tmp_path):
        with output_to(log):
            print("into the void")
    note("odd machines", held=2)


@pytest.mark.release
def test_a_whole_run_without_proc(tmp_path: Path) -> None:
    words = ["run", "model=tiny", "backend=portable", "runtime=static", "verify.positions=50",
             f"out={tmp_path / 'o'}"]  # fmt: skip
    if os.geteuid() or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces")
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "llm_export", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "not run on its target" in done.stdout
    note("odd machines", held=1)
