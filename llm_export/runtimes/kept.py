"""Turns that are kept in a file, so that a measurement that is interrupted goes on where it was.

A line of JSON for each finished turn, added at once. Turns of other artifacts, lengths or threads
may lie in the same file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.errors import RecipeError
from llm_export.files import write_text
from llm_export.runtimes.artifact import Artifact

Found = dict[str, Any]


class KeptTurns:
    """
    Args:
        file: None: turns are kept nowhere.

    Attributes:
        others: CPU seconds of other processes, and seconds, during the turns that were taken from
            the file.

    Raises:
        RecipeError: the file holds something else, is a folder, or cannot be written.
    """

    def __init__(self, file: str | Path | None) -> None:
        self.file = None if file is None else Path(file).expanduser()
        self.others = (0.0, 0.0)
        self._lines = [] if self.file is None else _lines(self.file)
        if self.file is not None:
            _require_writable(self.file)

    def take(self, artifact: Artifact, asked: Mapping[str, Any], number: int) -> Found | None:
        """What was found in this round; None if it is to be measured. A file of another size or
        time is another artifact."""
        key = _key(artifact, asked, number)
        line = next((each for each in self._lines if each["turn"] == key), None)
        if line is None:
            return None
        more = line["others"]
        self.others = (self.others[0] + more[0], self.others[1] + more[1])
        found: Found = line["found"]
        return found

    def add(
        self, artifact: Artifact, asked: Mapping[str, Any], number: int, found: Found,
        others: tuple[float, float],
    ) -> None:  # fmt: skip
        """Keep a turn that has been measured."""
        if self.file is None:
            return
        line = {"turn": _key(artifact, asked, number), "others": others, "found": found}
        # A last line that was cut off where the process was ended makes room.
        text = self.file.read_bytes() if self.file.exists() else b""
        cut = bool(text) and not text.endswith(b"\n")
        kept = self._lines if cut else []
        with self.file.open("w" if cut else "a", encoding="utf-8") as file:
            file.writelines(json.dumps(each) + "\n" for each in [*kept, line])
        self._lines.append(line)


def drop_disturbed(file: Path, cpus: float) -> int:
    """Remove the turns during which other processes kept more CPUs busy, so that they are measured
    again; how many."""
    lines = _lines(file)
    calm = [one for one in lines if one["others"][0] <= cpus * one["others"][1]]
    if len(calm) < len(lines):
        write_text(file, "".join(json.dumps(one) + "\n" for one in calm))
    return len(lines) - len(calm)


def _require_writable(file: Path) -> None:
    """Before the first turn, which takes minutes; an empty file is left."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()
    except OSError as error:
        raise RecipeError(
            f"it cannot be written: {error.strerror}", where=str(file), fix="another file"
        ) from None


def _key(artifact: Artifact, asked: Mapping[str, Any], number: int) -> Found:
    one = artifact.path
    files = [one] if one.is_file() else sorted(file for file in one.rglob("*") if file.is_file())
    return {
        "label": artifact.label, "runtime": artifact.runtime, "path": str(one),
        "python": artifact.python,
        "bytes": artifact.bytes, "changed": max((f.stat().st_mtime_ns for f in files), default=0),
        "asked": dict(asked), "round": number,
    }  # fmt: skip


def _lines(file: Path) -> list[Found]:
    if not file.exists():
        return []
    fix = "another file, or delete it"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"it cannot hold turns: {error}", where=str(file), fix=fix) from None
    texts, whole = text.splitlines(), text.endswith("\n")
    found = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            known = isinstance(line, dict) and line.keys() == {"turn", "others", "found"}
        except ValueError:
            known = False
        if known:
            found.append(line)
        elif number < len(texts) or whole or not _may_begin_a_turn(text):
            raise RecipeError(f"line {number} is no turn", where=str(file), fix=fix)
    return found


def _may_begin_a_turn(text: str) -> bool:
    return text.startswith(_BEGINNING) or _BEGINNING.startswith(text)


_BEGINNING = '{"turn": '
