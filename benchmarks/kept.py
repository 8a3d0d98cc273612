"""Measurements that pages of the docs are rendered from: JSON beside the scripts.

A script measures a few rows at a time and renders its page from all rows that are kept, so that a
measurement costs no other row, and a page can be rendered anew without one.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime_py.conditions import processor

REPO = Path(__file__).resolve().parent.parent
Row = dict[str, Any]
"""A measurement: its figures, and what ``provenance`` tells."""


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def write(file: Path, text: str) -> None:
    """Replace the file at once, if it has another text."""
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(file)


def as_json(body: dict[str, Any]) -> str:
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def replaced(rows: list[Row], row: Row, order: list[str]) -> list[Row]:
    """The rows with this one instead of that of its name, in the order of the names; rows of other
    names stay, after them."""
    kept = {each["name"]: each for each in rows} | {row["name"]: row}
    names = [*order, *(name for name in kept if name not in order)]
    return [kept[name] for name in names if name in kept]


def provenance(command: str, *packages: str) -> Row:
    """With which command, when, where and of which code and packages a row is measured."""
    return {
        "command": command,
        "measured": datetime.date.today().isoformat(),
        "machine": processor()["processor"],
        "commit": _commit(),
        "versions": {name: found for name in packages if (found := _version(name))},
        "load": round(os.getloadavg()[0], 1),
    }


def page_part(text: str, name: str, part: str) -> str:
    """The text of a page with what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``
    replaced.

    Raises:
        ValueError: the page has no such place.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no part between {begin.strip()} and {end}")
    return f"{before}{begin}{part.rstrip()}\n{end}{after}"


def _commit() -> str | None:
    """The last commit, with ``+`` if files differ from it; None outside a checkout."""
    try:
        said = ["git", "-C", str(REPO)]
        head = subprocess.run(
            [*said, "rev-parse", "--short=8", "HEAD"], check=True, capture_output=True, text=True
        )
        changed = subprocess.run(
            [*said, "status", "--porcelain", "--untracked-files=no", "--", "llm_export",
             "runtime_py"], check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
