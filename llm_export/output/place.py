"""Check a path that a user named for output, before any work and without writing.

Every command that writes to such a path asks here first. Only an absent path or an ordinary
folder (an ordinary file) passes; what may be in that folder is the business of ``seal`` and of the
command.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import InputError
from llm_export.output.mounts import is_mount_point

_NAME_BYTES, _PATH_BYTES = 255, 4000
"""Where the file system does not say what it takes; of a path, with room for files below it."""
_KINDS = (
    (stat.S_ISREG, "a file"), (stat.S_ISDIR, "a folder"), (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"),
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """How messages speak of an output.

    Attributes:
        what: such as ``the output folder``.
        argument: what stands before the path on the command line, such as ``out=``.
    """

    what: str
    argument: str = ""

    def refuse(self, path: object, why: str, fix: str) -> InputError:
        return InputError(f"{self.what} {why}", where=f"{self.argument}{path}", fix=fix)


OUT = Named("the output", "out=")


def folder_to_write(path: str | Path, named: Named = OUT, *, renamed: bool = True) -> Path:
    """The absolute path of a folder to create, replace or fill.

    ``~`` is expanded. A link to a folder stands for that folder.

    Args:
        renamed: the finished folder is renamed to this path, which rules out mount points and the
            current folder.

    Raises:
        InputError: the path is malformed, leads nowhere, is no folder, or cannot be written.
    """
    full, mode = _ordinary(path, named, stat.S_ISDIR, "FOLDER")
    _require_writable(full, path, named)
    if mode is not None:
        with contextlib.suppress(FileNotFoundError):  # another run is replacing it just now
            _require_enterable(full, path, named)
            if renamed:
                _require_replaceable(full, path, named)
    return full


def file_to_write(path: str | Path, named: Named) -> Path:
    """The absolute path of a file to create or replace, in a folder that exists.

    ``~`` is expanded. A link to a file stands for that file.

    Raises:
        InputError: the path is malformed, leads nowhere, is no file, or cannot be written.
    """
    full, mode = _ordinary(path, named, stat.S_ISREG, "FILE")
    if mode is None and not os.path.isdir(full.parent):
        raise named.refuse(
            path, f"cannot be written: there is no folder {full.parent}",
            "a folder that exists and can be written to",
        )  # fmt: skip
    _require_writable(full, path, named)
    return full


def _ordinary(
    path: str | Path, named: Named, wanted: Callable[[int], bool], word: str
) -> tuple[Path, int | None]:
    """(absolute path, mode of what is there), which is absent or of the ``wanted`` type."""
    full = _followed(_absolute(path, named), path, named)
    mode = _mode(full, path, named)
    if mode is not None and not wanted(mode):
        raise named.refuse(path, f"is {_kind(mode)}", f"{named.argument}{word}")
    return full, mode


def _absolute(path: str | Path, named: Named) -> Path:
    """Expand ``~`` and resolve ``..`` as the operating system would."""
    text = os.fspath(path)
    if not text or "\0" in text:
        why = "has a NUL character in its path" if text else "has no path"
        raise named.refuse(text.replace("\0", "\\0"), why, f"{named.argument}PATH")
    if text.startswith("~"):
        text = os.path.expanduser(text)
        if text.startswith("~"):
            word = text.split("/")[0]
            raise named.refuse(
                path, f"cannot be written: there is no home directory for {word}",
                f"an absolute path, or {named.argument}./{text} for a name that begins with ~",
            )  # fmt: skip
    try:
        os.fsencode(text)
        current = Path("/") if text.startswith("/") else Path.cwd()
    except UnicodeEncodeError:
        raise named.refuse(
            ascii(text), "has a name that this machine cannot encode", "a name in plain letters"
        ) from None
    except OSError:
        raise named.refuse(path, "is relative to a folder that was removed",
                           "an absolute path") from None  # fmt: skip
    for part in Path(text).parts:
        if part == "..":
            if not os.path.isdir(current):
                raise named.refuse(
                    path, f"goes up from a folder that does not exist: {current}",
                    f"{named.argument}{current.parent}",
                )  # fmt: skip
            current = current.resolve().parent
        else:
            current /= part
        _require_short(current, path, named)
    return current


def _require_short(current: Path, path: str | Path, named: Named) -> None:
    limit = _NAME_BYTES
    with contextlib.suppress(OSError, ValueError, StopIteration):
        limit = os.pathconf(next(p for p in current.parents if os.path.isdir(p)), "PC_NAME_MAX")
    size = len(os.fsencode(current.name))
    if size > limit or len(os.fsencode(current)) > _PATH_BYTES:
        long = f"a name of {size} bytes" if size > limit else "a path that is too long"
        shown = str(path) if len(str(path)) < 80 else f"{str(path)[:60]}..."
        raise named.refuse(shown, f"has {long}", f"a name of at most {limit} bytes")


def _followed(full: Path, path: str | Path, named: Named) -> Path:
    """The target of a link."""
    if not os.path.islink(full):
        return full
    try:
        return full.resolve(strict=True)
    except FileNotFoundError:
        target = os.readlink(full)
        raise named.refuse(
            path, f"is a link to something that does not exist: {target}",
            "remove the link, or make the folder that it points to",
        ) from None  # fmt: skip
    except (OSError, RuntimeError):  # RuntimeError up to Python 3.12
        raise named.refuse(
            path, "is a link that leads back to itself, or cannot be followed", "remove the link"
        ) from None


def _mode(full: Path, path: str | Path, named: Named) -> int | None:
    """The type of what is there; None if nothing is."""
    try:
        return full.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise named.refuse(path, f"cannot be written: {error.strerror}", "another path") from None


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "no ordinary file")


def _require_writable(full: Path, path: str | Path, named: Named) -> None:
    """Whether an entry can be made in the folder of ``full``, or in the nearest one that exists."""
    above = next((p for p in full.parents if os.path.lexists(p)), Path("/"))
    fix = f"{named.argument}a path in a folder that can be written"
    if not os.path.isdir(above):
        raise named.refuse(path, f"cannot be written: {above} is no folder", fix)
    if not os.access(above, os.W_OK | os.X_OK):
        raise named.refuse(path, f"cannot be written: {_why_not(above)}", fix)
    with contextlib.suppress(OSError):
        if not os.statvfs(above).f_blocks and not _takes_entries(above):
            raise named.refuse(path, f"cannot be written: {above} keeps no files", fix)


def _why_not(folder: Path) -> str:
    with contextlib.suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{folder} is on a read-only file system"
    return f"no permission to write in {folder}"


def _takes_entries(folder: Path) -> bool:
    """Try it: /proc and /sys let root write, and take no new entries."""
    probe = folder / f".llm_export-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def _require_enterable(full: Path, path: str | Path, named: Named) -> None:
    # A folder that another run replaces just then seems to allow nothing, and is there again at the
    # next look; one without permission allows nothing at any.
    for _ in range(5):
        if os.access(full, os.R_OK | os.W_OK | os.X_OK):
            return
        full.stat()
    raise named.refuse(
        path, f"cannot be written: {_why_not(full)}", f"{named.argument}another folder"
    )


def _is_around_here(full: Path) -> bool:
    try:
        here = Path.cwd().resolve()
    except OSError:  # it was removed
        return False
    return full.resolve() in (here, *here.parents)


def _require_replaceable(full: Path, path: str | Path, named: Named) -> None:
    """Whether another folder can be renamed to ``full``."""
    inside = f"{named.argument}{full / 'bundle'}, which is a folder in it"
    if full == full.parent:
        raise named.refuse(path, "is the root of the file system", f"{named.argument}FOLDER")
    if _is_around_here(full):
        raise named.refuse(path, "is the current folder, or one around it", inside)
    if is_mount_point(full):
        raise named.refuse(path, "is a mount point, which cannot be replaced", inside)
    above, own, user = full.parent.stat(), full.stat(), os.geteuid()
    sticky = above.st_mode & stat.S_ISVTX and user not in (0, above.st_uid, own.st_uid)
    if sticky:
        raise named.refuse(
            path, f"belongs to someone else, who alone may replace it in {full.parent}",
            f"{named.argument}another folder",
        )  # fmt: skip
