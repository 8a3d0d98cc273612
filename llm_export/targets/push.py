"""Copy files to a device: only what is not there already, each checked by its SHA-256."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_export.errors import TargetError
from llm_export.targets.base import Target
from runtime_py.bundle_files import sha256_of

_HASH = """
digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi
}
"""
_HASHING = 1800.0
"""Time limit in seconds: a phone reads a few hundred megabytes a second."""
_SPARE = 16 << 20
"""Bytes to leave free on the device."""


@dataclass(frozen=True)
class Item:
    """A file to be copied.

    Attributes:
        path: relative to the folder on the device, with slashes.
        sha256: in hexadecimal.
    """

    local: Path
    path: str
    bytes: int
    sha256: str
    executable: bool = False

    @classmethod
    def of(cls, local: Path, path: str, *, executable: bool = False) -> Item:
        """Raises OSError if the file cannot be read."""
        return cls(local, path, local.stat().st_size, sha256_of(local), executable)


@dataclass
class Pushed:
    """What a run has copied to the device, complete or not.

    Attributes:
        paths: absolute, on the device.
        bytes: of complete files.
    """

    paths: list[str] = field(default_factory=list)
    bytes: int = 0


def push(
    target: Target,
    items: Sequence[Item],
    folder: str,
    pushed: Pushed,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Copy files into a folder of the device; those with the right content stay.

    Args:
        folder: absolute path on the device, below ``target.root``.
        pushed: gets the path of each file before it is copied, so that an interrupted copy can be
            removed.
        say: called with a line for what is copied.

    Raises:
        TargetError: there is too little space, or a file does not arrive whole.
    """
    there = _digests(target, folder, [item.path for item in items], make=True)
    missing = [item for item, found in zip(items, there, strict=True) if found != item.sha256]
    if not missing:
        return
    needed, free = sum(item.bytes for item in missing) + _SPARE, target.free_bytes(folder)
    if needed > free:
        raise TargetError(
            f"the device has {free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed",
            where=f"{target.address}: {folder}", fix="remove files on the device",
        )  # fmt: skip
    size = sum(item.bytes for item in missing) / 1e6
    names = missing[0].path if len(missing) == 1 else f"{len(missing)} files"
    say(f"copying {names} to the device ({size:,.1f} MB)")
    partial = {item.path: f"{item.path}.partial" for item in missing}
    for item in missing:
        pushed.paths += [f"{folder}/{partial[item.path]}", f"{folder}/{item.path}"]
        target.put(item.local, f"{folder}/{partial[item.path]}")
    arrived = _digests(target, folder, list(partial.values()))
    for item, found in zip(missing, arrived, strict=True):
        if found != item.sha256:
            raise TargetError(f"{item.path} has not arrived whole", where=target.address,
                              fix="try again; check the cable or the network")  # fmt: skip
    lines = [f"cd {shlex.quote(folder)} || exit 1"]
    for item in missing:
        source, name = (shlex.quote(f"./{path}") for path in (partial[item.path], item.path))
        mode = f"chmod 755 {source} && " if item.executable else ""
        lines.append(f"{mode}mv -f {source} {name} || exit 1")
    target.checked("\n".join(lines), "files cannot be put in their place")
    pushed.paths = [path for path in pushed.paths if not path.endswith(".partial")]
    pushed.bytes += sum(item.bytes for item in missing)


def _digests(
    target: Target, folder: str, paths: Sequence[str], *, make: bool = False
) -> list[str | None]:
    """SHA-256 of files on the device; None of those not there."""
    folders = {posixpath.join(folder, posixpath.dirname(path)) for path in paths} if make else {}
    lines = [f"mkdir -p {' '.join(map(shlex.quote, sorted(folders)))} || exit 1"] if make else []
    lines.append(f"cd {shlex.quote(folder)} || exit 1")
    for path in paths:
        file = shlex.quote(f"./{path}")
        lines.append(f"if [ -f {file} ]; then digest < {file} || exit 1; else echo -; fi")
    out = target.checked(
        _HASH + "\n".join(lines), "files on the device cannot be compared", timeout=_HASHING
    )
    found = [line.split()[0] for line in out.splitlines() if line.strip()]
    if len(found) != len(paths):
        raise TargetError("the device has no sha256sum and no shasum", where=target.address,
                          fix="install coreutils or toybox on the device")  # fmt: skip
    return [None if digest == "-" else digest for digest in found]


def remove(target: Target, pushed: Pushed, folder: str) -> None:
    """Remove what was pushed, and the folders that are then empty, up to the target's root.

    Raises:
        TargetError: the connection failed, or a file cannot be removed.
    """
    target.remove(pushed.paths)
    parent = posixpath.dirname(target.root)
    folders = {folder, *map(posixpath.dirname, pushed.paths)}
    below = [posixpath.relpath(each, parent) for each in sorted(folders, key=len, reverse=True)]
    # -p stops at the first folder that is not empty.
    lines = [f"rmdir -p {shlex.quote(each)} 2>/dev/null" for each in below]
    target.run("\n".join([f"cd {shlex.quote(parent)} || exit", *lines]))
    pushed.paths.clear()
