"""Names of tasks of lm-evaluation-harness, found without importing it: building its own index takes
half a minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from llm_export.home import expanded

NEEDS = 'pip install "llm_export[eval]"'
DATA = Path(__file__).parent.parent / "data" / "evaluation"
"""Tasks that ship with this package; their data are files beside them."""

_NAME = re.compile(r"^(?:task|group|tag):[ \t]*([\"']?)([\w.-]+)\1[ \t]*$", re.MULTILINE)
_LISTED = re.compile(r"^[ \t]*-[ \t]*([\"']?)([\w.-]+)\1[ \t]*$", re.MULTILINE)


def is_installed() -> bool:
    return find_spec("lm_eval") is not None


def own_folders(task_paths: Sequence[str]) -> list[Path]:
    """Folders of tasks besides those of the harness: the user's, then the shipped one."""
    return [*(expanded(path) for path in task_paths), DATA]


def folder_of(name: str, task_paths: Sequence[str]) -> Path | None:
    """The folder whose tasks must be read to use the task, group or tag ``name``; None if there is
    no such task. Of the harness's own tasks it is the outermost folder with the name.
    """
    for folder in own_folders(task_paths):
        if any(name in _names(file) for file in _files(folder)):
            return folder
    root = harness_folder()
    if root is None:
        return None
    for file in _files(root):
        if name in _names(file):
            return root / file.relative_to(root).parts[0]
    return None


def known_names(task_paths: Sequence[str]) -> list[str]:
    """All names of tasks and groups, for a hint at the nearest."""
    root = harness_folder()
    folders = own_folders(task_paths) + ([root] if root else [])
    files = (file for folder in folders for file in _files(folder))
    found = {name for file in files for _, name in _NAME.findall(_text(file))}
    return sorted(found)


def harness_folder() -> Path | None:
    spec = find_spec("lm_eval")
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) / "tasks" if places else None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.yaml")) if path.is_file())


def _names(file: Path) -> set[str]:
    text = _text(file)
    found = {name for _, name in _NAME.findall(text)}
    if re.search(r"^tag:[ \t]*$", text, re.MULTILINE):
        listed = text.partition("\ntag:")[2] if "\ntag:" in text else text.partition("tag:")[2]
        found |= {name for _, name in _LISTED.findall(listed.partition("\ndataset")[0])}
    return found


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
