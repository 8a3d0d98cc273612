"""Check the files of a bundle against its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded
from runtime_py.packed import linked_program

_BLOCK = 1 << 20


def check_file(folder: Path, name: str, entry: Mapping[str, Any], *, verify_hash: bool) -> None:
    """Check one file: its place, its size in bytes, and its SHA-256 if ``verify_hash``.

    A link is followed, since caches of downloads keep their files behind links.

    Args:
        entry: the manifest's entry for the file.

    Raises:
        BundleRuntimeError: it leads out of the bundle, is missing, unreadable or another file.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise BundleRuntimeError("the manifest names a file outside the bundle", where=name[:200])
    path = folder / name
    where = str(folder)
    try:
        size = _size(path)
    except (OSError, ValueError):  # a link loop, or a name that the file system cannot take
        size = None
    if size is None:
        raise _damaged(name, "is missing", where)
    if size != entry["bytes"]:
        raise _damaged(
            name, f"has another size than the manifest says: {size:,} bytes, not "
            f"{entry['bytes']:,}", where,
        )  # fmt: skip
    if not verify_hash:
        return
    with guarded(f"{name[:200]} cannot be read", where=where):
        digest = sha256_of(path)
    if digest != entry["sha256"]:
        raise _damaged(
            name, f"has another sha256 than the manifest says: {digest[:12]}, not "
            f"{entry['sha256'][:12]}", where,
        )  # fmt: skip


def _size(path: Path) -> int | None:
    """In bytes; None if there is no such file."""
    if not path.is_file():
        return None
    packed = linked_program(path)
    return path.stat().st_size if packed is None else packed[1].size


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal; of a link to a packed bundle, that of the
    program in it."""
    found = hashlib.sha256()
    if (packed := linked_program(path)) is not None:
        for block in packed[0].blocks(packed[1]):
            found.update(block)
        return found.hexdigest()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _damaged(name: str, what: str, where: str) -> BundleRuntimeError:
    return BundleRuntimeError(
        f"the bundle is damaged: {name[:200]} {what}", where=where,
        fix="copy or export it again",
    )  # fmt: skip
