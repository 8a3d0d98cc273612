"""The seal of a folder that llm_export wrote: proof that it may be replaced.

``.llm_export_seal.json`` is written when a folder is published. It says whether that is a bundle or
a project for an app, so that no command replaces one by the other. It lists every file of the
folder with its size and sha256, and has a sha256 of that list. A folder is ours while it holds
nothing but the listed files, each as it was written: a file that was added or edited is the user's.
Of programs and weights (``.pte``, ``.ptd``) only the names count, because nobody edits them, and a
damaged program is a reason to make the bundle anew.

Bundles of version 0.1 have no seal. Their manifest lists the files in the same way and is taken
instead if it is valid by its JSON schema.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_export.files import sha256_of, write_json
from llm_export.output.leftovers import is_leftover
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


def write_seal(folder: Path, kind: str = BUNDLE) -> None:
    """Seal a folder that is finished, or one to which files were added."""
    files: dict[str, list[int | str]] = {}
    for name, path in _entries(folder):
        if path.is_file() and name != SEAL:
            checked = not name.endswith(_PROGRAMS)
            files[name] = [path.stat().st_size, sha256_of(path)] if checked else []
    body = {"format": FORMAT, "kind": kind, "files": files, "sha256": _digest(files)}
    write_json(folder / SEAL, body)


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a seal, broken or not."""
    return (folder / SEAL).is_file()


def foreign_part(folder: Path, kind: str = BUNDLE, leftovers: Collection[str] = ()) -> str | None:
    """What keeps a folder from being replaced by one of this kind; None if it is empty, or ours and
    unchanged.

    Args:
        leftovers: shell patterns of paths that do not count.

    Returns:
        A clause such as ``holds something that is not a bundle's: notes.txt``.

    Raises:
        OSError: the folder cannot be read.
    """
    if not any(folder.iterdir()):
        return None
    there, listed = _listed(folder)
    if listed and there != kind:
        return f"holds a {there}"
    return unlisted_part(folder, listed, f"a {kind}'s", leftovers)


def unlisted_part(
    folder: Path, listed: Listed, whose: str, leftovers: Collection[str] = ()
) -> str | None:
    """Like ``foreign_part``, for a folder that holds the ``listed`` files."""
    folders = {p.as_posix() for own in listed for p in Path(own).parents}
    for name, path in _entries(folder, leftovers):
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


def _entries(folder: Path, without: Collection[str] = ()) -> Iterator[tuple[str, Path]]:
    """Every file, link and folder below, sorted; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            own = path.relative_to(folder).as_posix()
            if not is_leftover(own, without):
                yield own, path
            elif name in folders:
                folders.remove(name)


def _listed(folder: Path) -> tuple[str, Listed]:
    """What the folder's seal says it is, and the files that it lists; none if none holds. A seal
    without a kind is a bundle's."""
    try:
        if is_sealed(folder):
            body = _json(folder / SEAL)
            return str(body.get("kind", BUNDLE)), {SEAL: None, **_from_seal(body)}
        return BUNDLE, _from_manifest(_json(folder / MANIFEST))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
            BundleRuntimeError):  # fmt: skip
        return BUNDLE, {}


def _from_seal(body: Any) -> Listed:
    files = body["files"]
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
