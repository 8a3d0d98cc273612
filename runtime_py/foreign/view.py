"""A bundle of files that lie anywhere: a folder of this process, with links to them and a manifest.

As with a packed bundle, the folder ends with the process, and the program is never copied.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import threading
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.bundle_files import sha256_of
from runtime_py.foreign.facts import program_facts
from runtime_py.foreign.find import Found, find
from runtime_py.foreign.tokens import Tokens, tokens_of
from runtime_py.guard import guarded
from runtime_py.manifest import FORMAT, MANIFEST, check_manifest

_views: dict[tuple[object, ...], Bundle] = {}
_lock = threading.Lock()


def bundle_of(path: Path, tokenizer: Path | None) -> Bundle:
    """
    Args:
        path: a .pte file, or a folder with one.
        tokenizer: tokenizer.json, or a folder with it; None looks beside the program.

    Raises:
        BundleRuntimeError: something is missing that is needed to run the program; says what.
    """
    with guarded("the program cannot be opened", where=str(path)):
        found = find(path, tokenizer)
        key = _state(found)
        with _lock:
            if key not in _views or not _views[key].path.is_dir():
                _views[key] = _made(path, found)
            return _views[key]


def _state(found: Found) -> tuple[object, ...]:
    """Changes if a file does that a view was made of."""
    files = [found.program.absolute(), found.data, found.tokenizer]
    for folder in found.folders:
        files += [*sorted(folder.glob("*.json")), *sorted(folder.glob("*.jinja"))]
    stats = ((file, file.stat()) for file in files if file is not None)
    return tuple((str(file), s.st_ino, s.st_size, s.st_mtime_ns) for file, s in stats)


def _made(path: Path, found: Found) -> Bundle:
    facts = program_facts(found.program, found.data)
    tokens = tokens_of(found, facts.constants, facts.entry["vocab_size"])
    above = Path(tempfile.mkdtemp(prefix="llm_program-"))
    atexit.register(_remove, above, os.getpid())
    folder = above / (path.absolute().name or "program")
    try:
        folder.mkdir()
        roles = _fill(folder, found, tokens)
        manifest = _manifest(path, folder, roles, facts.entry, tokens)
        if found.data is not None:
            name = found.data.stem
            (folder / found.data.name).symlink_to(found.data.absolute())
            manifest |= {"adapters": {name: found.data.name}, "default_adapter": name}
            manifest["files"][found.data.name] = _file(folder / found.data.name)
        check_manifest(manifest, str(path))
        (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    except BaseException:
        shutil.rmtree(above, ignore_errors=True)
        raise
    return Bundle(folder, manifest)


def _fill(folder: Path, found: Found, tokens: Tokens) -> dict[str, str]:
    """Role -> file."""
    roles = {"program": "model.pte", "tokenizer": "tokenizer.json"}
    for role, file in (("program", found.program), ("tokenizer", tokens.file)):
        (folder / roles[role]).symlink_to(file.absolute())
    for role, source in tokens.templates.items():
        roles[role] = f"{role}.jinja"
        (folder / roles[role]).write_text(source, encoding="utf-8")
    return roles


def _manifest(
    path: Path, folder: Path, roles: dict[str, str], program: dict[str, Any], tokens: Tokens
) -> dict[str, Any]:
    name = path.absolute().stem if path.is_file() else folder.name
    return {
        "format": FORMAT, "name": name, "producer": {},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"name": name, "family": "unknown", "checkpoint": "unknown", "parameters": 0},
        "program": program, "tokenizer": tokens.entry, "sampling": tokens.sampling,
        "requires": {"executorch": metadata.version("executorch"), "backends": [],
                     "operators": []},
        "proof": {"verified": False, "reason": "made by another exporter"},
        "roles": roles, "files": {file: _file(folder / file) for file in roles.values()},
    }  # fmt: skip


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _remove(folder: Path, process: int) -> None:
    """A child that a process forked leaves its folder alone."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
