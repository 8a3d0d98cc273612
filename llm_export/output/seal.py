"""The seal of a folder that llm_export wrote: proof that it may be replaced.

``.llm_export_seal.json`` is written when a bundle is published. It lists every file of the folder
with its size and sha256, and has a sha256 of that list. A folder is ours while it holds nothing
but the listed files, each as it was written: a file that was added or edited is the user's. Of
programs and weights (``.pte``, ``.ptd``) only the names count, because nobody edits them, and a
damaged program is a reason to make the bundle anew.

A project of an app is sealed in the same way; its seal says so (``of``), and neither replaces the
other. Bundles of version 0.1 have no seal. Their manifest lists the files in the same way and is
taken instead if it is valid by its JSON schema.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_export.files import sha256_of, write_json
from runtime_py.bundle import MANIFEST, check_manifest
from runtime_py.errors import BundleRuntimeError

SEAL = ".llm_export_seal.json"
FORMAT = 1
BUNDLE, PROJECT = "bundle", "project"
_RECORD = "run.json"
_PROGRAMS = (".pte", ".ptd")
_OTHERS = re.compile(r"\.DS_Store|Thumbs\.db|desktop\.ini|\..+\.[0-9a-f]{8}\.partial")
"""What file managers leave in any folder, and ``files.replacing`` in a killed process."""

Listed = Mapping[str, "tuple[int, str] | None"]
"""Name -> bytes and sha256; None where the content does not count."""


def write_seal(folder: Path, whose: str = BUNDLE) -> None:
    """Seal a folder that is finished, or one to which files were added.

    Args:
        whose: what it is, ``BUNDLE`` or ``PROJECT``.
    """
    files: dict[str, list[int | str]] = {}
    for name, path in _entries(folder):
        if path.is_file() and name != SEAL:
            checked = not name.endswith(_PROGRAMS)
            files[name] = [path.stat().st_size, sha256_of(path)] if checked else []
    kind = {} if whose == BUNDLE else {"of": whose}
    write_json(folder / SEAL, {"format": FORMAT, **kind, "files": files, "sha256": _digest(files)})


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a seal, broken or not."""
    return (folder / SEAL).is_file()


def foreign_part(folder: Path, whose: str = BUNDLE) -> str | None:
    """What keeps a folder from being replaced; None if it is empty, or ours and unchanged.

    Args:
        whose: what takes its place; something else that is sealed stays.

    Returns:
        A clause such as ``holds something that is not a bundle's: notes.txt``.

    Raises:
        OSError: the folder cannot be read.
    """
    if not any(folder.iterdir()):
        return None
    for other in {BUNDLE, PROJECT} - {whose}:
        if is_sealed(folder) and SEAL in _listed(folder, other):
            return f"holds a {other}"
    return unlisted_part(folder, _listed(folder, whose), f"a {whose}'s")


def unlisted_part(folder: Path, listed: Listed, whose: str) -> str | None:
    """Like ``foreign_part``, for a folder that holds the ``listed`` files."""
    folders = {p.as_posix() for own in listed for p in Path(own).parents}
    for name, path in _entries(folder):
        if _OTHERS.fullmatch(path.name):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) and name in folders:
            continue
        if name not in listed or not stat.S_ISREG(mode):
            return f"holds something that is not {whose}: {name}"
        expected = listed[name]
        if expected is not None and expected != (path.stat().st_size, sha256_of(path)):
            return f"holds a file that was changed since it was written: {name}"
    return None


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file, link and folder below, sorted; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            yield path.relative_to(folder).as_posix(), path


def _listed(folder: Path, whose: str) -> Listed:
    """The files that the folder's seal lists; empty if it has none that holds, or is another's."""
    try:
        if is_sealed(folder):
            return {SEAL: None, **_from_seal(_json(folder / SEAL), whose)}
        return _from_manifest(_json(folder / MANIFEST)) if whose == BUNDLE else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, BundleRuntimeError):
        return {}


def _from_seal(body: Any, whose: str) -> Listed:
    files = body["files"]
    if body.get("of", BUNDLE) != whose:
        raise ValueError("the seal of something else")
    if body["format"] != FORMAT or body["sha256"] != _digest(files):
        raise ValueError("another sha256")
    return {name: (entry[0], entry[1]) if entry else None for name, entry in files.items()}


def _from_manifest(body: Any) -> Listed:
    check_manifest(body, MANIFEST)
    files = body["files"]
    if not {body["roles"]["lock"], body["roles"]["program"]} <= files.keys():
        raise ValueError("no bundle")
    own = {
        name: None if name.endswith(_PROGRAMS) else (entry["bytes"], entry["sha256"])
        for name, entry in files.items()
    }
    return {MANIFEST: None, _RECORD: None, **own}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _digest(files: Any) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
