"""Whether there can be a bundle at a path, without torch, whose import takes a second."""

from __future__ import annotations

from pathlib import Path

from runtime_py.foreign import is_foreign
from runtime_py.foreign.hub import is_hub_id
from runtime_py.manifest import MANIFEST, read_manifest
from runtime_py.packed import is_packed
from runtime_py.program_header import check_program_header


def require_place(word: str | Path) -> None:
    """Check what is told at once: a path that is not there, a folder that is no bundle, or a
    program that is cut off.

    Args:
        word: a folder, a file, or ORG/NAME on the hub, which is not asked.

    Raises:
        BundleRuntimeError: nothing can be opened there.
    """
    if is_hub_id(word):
        return
    path = Path(word)
    try:
        is_file, has_manifest = path.is_file(), (path / MANIFEST).is_file()
    except (OSError, ValueError):  # a name that no file can have: who reads it tells
        return
    if is_file and path.suffix == ".pte" and not is_packed(path):
        check_program_header(path)
    elif not is_file and not has_manifest and not is_foreign(path):
        read_manifest(path)  # whose error says which of the two it is
