"""Print a page to PDF with an installed Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from llm_export.errors import LlmExportError, MissingDependencyError

_NAMES = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
    "microsoft-edge",
)  # fmt: skip
_APPLICATIONS = {
    "darwin": ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
               "/Applications/Chromium.app/Contents/MacOS/Chromium"),
}  # fmt: skip
_SECONDS = 120


def chromium() -> str:
    """The path of a Chromium, Chrome or Edge.

    Raises:
        MissingDependencyError: none is installed.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    for place in _APPLICATIONS.get(sys.platform, ()):
        found = found or (place if Path(place).is_file() else None)
    if found is None:
        raise MissingDependencyError(
            "no Chromium is installed that could print the page", where="--pdf",
            fix="install chromium or google-chrome, or print report.html from any browser",
        )  # fmt: skip
    return found


def write_pdf(page: Path, pdf: Path) -> None:
    """Print a page; all its sections are open, and charts are drawn.

    Raises:
        MissingDependencyError: no Chromium is installed.
        LlmExportError: it fails.
    """
    command = [chromium(), "--headless", "--disable-gpu", "--no-first-run",
               "--no-pdf-header-footer", "--virtual-time-budget=5000"]  # fmt: skip
    if sys.platform == "linux" and os.geteuid() == 0:
        command.append("--no-sandbox")  # its sandbox does not work for root
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "report.pdf"
        command += [f"--user-data-dir={scratch}/profile", f"--print-to-pdf={made}",
                    page.absolute().as_uri()]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(command[0], str(error)) from None
        if done.returncode or not made.is_file():
            raise _failed(command[0], (done.stderr.strip().splitlines() or ["no output"])[-1])
        try:
            shutil.copyfile(made, pdf)
        except OSError as error:
            raise LlmExportError(
                f"the PDF cannot be written: {error.strerror}", where=f"--pdf {pdf}"
            ) from None


def _failed(program: str, why: str) -> LlmExportError:
    return LlmExportError(
        f"the page was not printed: {why}", where=program,
        fix="print report.html from a browser",
    )  # fmt: skip
