"""Output goes to the log while a stage runs, and comes back whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from llm_export.pipeline.console import Reporter, output_to


def failing_work() -> None:
    os.write(1, b"from native code\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    raise KeyError


def test_output_is_sent_to_the_log_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run.log"
    with pytest.raises(KeyError), output_to(log):
        failing_work()
    os.write(1, b"after\n")
    assert log.read_text().splitlines() == ["from native code", "from a child"]
    assert capfd.readouterr().out == "after\n"


def test_a_reporter_works_where_stderr_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    reporter = Reporter(1, quiet=True)
    with reporter.stage("load"):
        reporter.step(1, 2)
    reporter.done(1.0, 10**9)
    reporter.close()


def test_a_long_summary_is_folded_beside_the_stage_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    summary = "5 questions answered, 2 of 5 as the float32 model answers, the others up to token 6"
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as seen:
        for columns, indent in ((80, 38), (50, 2)):
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            monkeypatch.setattr(sys, "stderr", terminal)
            monkeypatch.setenv("COLUMNS", str(columns))
            reporter = Reporter(1)
            reporter._begin("report")
            reporter.done(1.0, 10**9, summary)
            reporter.close()
            first, *others = seen.read(4096).decode().split("\r\n")[:-1]
            assert first.startswith("[1/1] report         1.0 s   1.00 GB  5 questions"[:columns])
            assert others
            assert all(line.startswith(" " * indent) and line[indent] != " " for line in others)
            assert all(len(line) <= columns for line in (first, *others))
            said = " ".join([first, *others]).split()
            assert " ".join(said).endswith(summary)


def test_a_terminal_that_draws_no_bar_is_told_that_a_stage_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("llm_export.pipeline.console.HEARTBEAT", 0.01)
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as seen:
        monkeypatch.setattr(sys, "stderr", terminal)
        reporter = Reporter(1)
        with reporter.stage("lower"):
            assert select.select([seen], [], [], 30)[0]
            assert b"[1/1] lower ... 0 s" in seen.read(100)
        reporter.close()


def test_a_run_goes_on_if_nobody_reads_its_progress() -> None:
    code = (
        "import sys, time; from llm_export.pipeline.console import Reporter\n"
        "reporter = Reporter(1); sys.stdin.readline()\n"
        "for _ in range(3):\n"
        "    reporter.line('x' * 100000)\n"
        "reporter.close(); print('done')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.close()
    out, _ = process.communicate(b"go\n")
    assert (process.returncode, out) == (0, b"done\n")


def test_plain_lines_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(2)
    with reporter.stage("load"):
        pass
    reporter.done(1.25, 2 * 10**9, "done [well]")
    reporter.close()
    line = capfd.readouterr().err
    assert line.split() == ["[1/2]", "load", "1.2", "s", "2.00", "GB", "done", "[well]"]


_AT_A_TERMINAL = """
import sys, time, warnings
from pathlib import Path
from llm_export.pipeline.console import Reporter, output_to

reporter = Reporter(1)
with reporter.stage("lower"), output_to(Path(sys.argv[1])):
    print("said by a library")
    print("and on stderr", file=sys.stderr)
    warnings.warn("warned by one", stacklevel=1)
    time.sleep(0.3)  # the live line is drawn meanwhile
reporter.done(1.0, 10**9, "well done")
reporter.close()
"""


def test_a_terminal_shows_nothing_of_what_libraries_print(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    log = tmp_path / "run.log"
    code = [sys.executable, "-c", _AT_A_TERMINAL, str(log)]
    done = subprocess.run(
        code, stdout=terminal, stderr=terminal, env={**os.environ, "TERM": "xterm"}
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal that is closed
        while part := os.read(controller, 4096):
            shown += part
    os.close(controller)
    assert done.returncode == 0, shown
    assert b"well done" in shown
    said = log.read_text()
    for text in ("said by a library", "and on stderr", "warned by one"):
        assert text.encode() not in shown
        assert text in said


def test_a_stage_with_nothing_to_do_is_neither_counted_nor_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls: list[tuple[str, int, int]] = []
    reporter = Reporter(3, progress=lambda *call: calls.append(call), hidden=["train"])
    for name in ("load", "train"):
        with reporter.stage(name):
            pass
        reporter.done(1.0, 10**9)
    reporter.reused("train", "then")
    reporter.reused("quantize", "then")
    reporter.close()
    lines = [line.split()[:2] for line in capfd.readouterr().err.splitlines()]
    assert lines == [["[1/2]", "load"], ["[2/2]", "quantize"]]
    assert ("train", 1, 1) in calls


def test_the_clock_goes_on_after_the_last_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = Reporter(1)
    monkeypatch.setattr(reporter.console, "_force_terminal", True)
    with reporter.stage("quantize"):
        reporter.step(2, 2)
        assert reporter._bar is not None
        bar, task = reporter._bar
        assert bar.tasks[task].finished_time is None
    reporter.close()
