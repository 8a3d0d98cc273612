"""Output that is nobody's: warnings of libraries, and bars where there is no terminal."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import hf_families
import hf_models
import pytest
from hf_models import llama, save

from llm_export.cli.main import main
from llm_export.compat.import_warnings import silence_announcements


def test_announcements_alone_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    silence_announcements()
    logger = logging.getLogger("torchao")
    logger.warning("Failed to load /x.so: Could not load this library: /x.so")
    logger.warning("this matters")
    assert [record.getMessage() for record in caplog.records] == ["this matters"]


@pytest.mark.slow
def test_libraries_announce_nothing(tmp_path: Path) -> None:
    """In a new process: libraries warn when they are imported first, whichever verb does that."""
    folder = hf_models.save(hf_families.build("bloom"), tmp_path / "m")
    code = (
        "import sys\nfrom llm_export.cli.main import main\n"
        "sys.exit(main(['inspect', sys.argv[1]])"
        " or main(['validate', 'model=auto', 'checkpoint.path=' + sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ": sound" in done.stdout


def test_no_bar_in_a_pipe(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = save(llama(), tmp_path / "m")
    capfd.readouterr()
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 0
    assert capfd.readouterr().err == ""
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 2
    assert capfd.readouterr().err.startswith("error: ")
