"""The evidence of a bundle that may be shared with its recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_export.config.library import LOCK
from llm_export.config.plain_yaml import read_plain
from llm_export.config.recipe_files import dump
from llm_export.config.shared_recipe import path_values, set_value
from llm_export.errors import bundle_errors
from llm_export.output.machine_paths import machine_path
from llm_export.report.page.assets import without_scripts
from llm_export.sharing.folder import read_bounded
from llm_export.sharing.members import PAGE, Budget, Files
from runtime_py.bundle import MANIFEST, Bundle

EVIDENCE = ("parity.json", "benchmark.json", "evaluation.json", "report.md", PAGE, "run.json")
_LOCK_HEAD = "# What the bundle was made from, exactly. Paths of the machine are left out.\n"


@dataclass(frozen=True)
class Evidence:
    """Attributes:
    files: name -> content, of what tells nothing of the machine but its kind.
    left_out: name -> the path in it for which it stays here.
    """

    manifest: dict[str, Any]
    files: Files
    left_out: dict[str, str] = field(default_factory=dict)


def is_bundle(source: str) -> bool:
    """Whether ``source`` is the folder of a bundle."""
    return (Path(source) / MANIFEST).is_file()


def read_evidence(folder: Path, places: dict[tuple[str, ...], str]) -> Evidence:
    """Lock and evidence of a bundle.

    Args:
        places: key of a path -> what the lock's recipe is to say there.

    Raises:
        BundleError: the bundle is damaged, or its lock is missing.
    """
    with bundle_errors():
        manifest = Bundle.open(folder).manifest
    budget = Budget(str(folder))
    files: Files = {}
    left: dict[str, str] = {}
    for name in EVIDENCE:
        if (folder / name).is_file():
            data = read_bounded(folder / name, name, budget)
            text = data.decode("utf-8", "replace")
            path = machine_path(without_scripts(text) if name == PAGE else text)
            if path is None:
                files[name] = data
            else:
                left[name] = path
    if (folder / LOCK).is_file():
        files[LOCK] = _lock(folder / LOCK, places)
    return Evidence(manifest, files, left)


def _lock(path: Path, places: dict[tuple[str, ...], str]) -> bytes:
    body = read_plain(path)
    for key, _ in path_values(body["recipe"]):
        if key in places:
            set_value(body["recipe"], key, places[key])
    body["overrides"] = [o for o in body.get("overrides", []) if machine_path(str(o)) is None]
    return (_LOCK_HEAD + dump(body)).encode()


def as_json(files: Files, name: str) -> dict[str, Any]:
    """A file of the evidence; empty if it is not there."""
    body = json.loads(files[name]) if name in files else {}
    return body if isinstance(body, dict) else {}
