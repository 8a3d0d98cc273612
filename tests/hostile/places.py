"""A table of places that users name for output: what is there, and what a run says of it.

Special files lie in the folder of the test alone.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TAKEN = ""
"""The place is accepted."""


@dataclass(frozen=True)
class Place:
    """
    Attributes:
        make: prepares a folder and returns the path that the user names.
        said: part of the refusal; TAKEN if a run writes there.
        root: whether the case needs root, or another user than root.
    """

    make: Callable[[Path], str]
    said: str
    root: bool | None = None


def _file(folder: Path) -> str:
    (folder / "o").write_text("thesis")
    return str(folder / "o")


def _empty(folder: Path) -> str:
    (folder / "o").mkdir()
    return str(folder / "o")


def _full(folder: Path) -> str:
    (folder / "o").mkdir()
    (folder / "o" / "thesis.txt").write_text("thesis")
    return str(folder / "o")


def _only_a_folder(folder: Path) -> str:
    (folder / "o" / "photos").mkdir(parents=True)
    return str(folder / "o")


def _fifo(folder: Path) -> str:
    os.mkfifo(folder / "o")
    return str(folder / "o")


def _device(folder: Path) -> str:
    os.mknod(folder / "o", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return str(folder / "o")


def _socket(folder: Path) -> str:
    here = os.getcwd()
    os.chdir(folder)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("o")
    finally:
        os.chdir(here)
    return str(folder / "o")


def _link(folder: Path, target: str, *, to_folder: bool = False) -> str:
    if to_folder:
        (folder / target).mkdir()
    (folder / "o").symlink_to(target)
    return str(folder / "o")


def _loop_above(folder: Path) -> str:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return str(folder / "a" / "o")


def _closed(folder: Path) -> str:
    (folder / "closed").mkdir(mode=0o500)
    return str(folder / "closed" / "o")


def _stranger(folder: Path, manifest: str) -> str:
    place = Path(_full(folder))
    (place / "manifest.json").write_text(manifest)
    return str(place)


def _working(folder: Path) -> str:
    (folder / ".o.partial").mkdir()
    (folder / ".o.partial" / "thesis.txt").write_text("thesis")
    return str(folder / "o")


def _working_link(folder: Path) -> str:
    (folder / "mine").mkdir()
    (folder / "mine" / "run.log").write_text("thesis")
    (folder / ".o.partial").symlink_to("mine")
    return str(folder / "o")


_LISTS = '{"roles": {}, "files": {"thesis.txt": {"bytes": 6, "sha256": "%s"}}}'
_SHA = "1e47ad3d30b4b8ac4a3c1b2f1a4d8ea7d2b2c1b3e2f1d0c9b8a7968574635241"

PLACES: dict[str, Place] = {
    "absent": Place(lambda f: str(f / "o"), TAKEN),
    "absent, below absent folders": Place(lambda f: str(f / "a" / "b" / "o"), TAKEN),
    "an empty folder": Place(_empty, TAKEN),
    "a slash at the end": Place(lambda f: f"{f}/o/", TAKEN),
    "a link to an empty folder": Place(lambda f: _link(f, "there", to_folder=True), TAKEN),
    "up from a folder that is there": Place(lambda f: f"{f}/../{f.name}/o", TAKEN),
    "255 bytes": Place(lambda f: str(f / ("n" * 255)), TAKEN),
    "a name in Chinese, 84 letters": Place(lambda f: str(f / ("模" * 84)), TAKEN),
    "a space and a newline": Place(lambda f: str(f / "my\nmodel "), TAKEN),
    "300 bytes": Place(lambda f: str(f / ("n" * 300)), "a name of 300 bytes"),
    "86 letters of 3 bytes": Place(lambda f: str(f / ("模" * 86)), "a name of 258 bytes"),
    "a long name above": Place(lambda f: str(f / ("n" * 300) / "o"), "a name of 300 bytes"),
    "a path of 5000 bytes": Place(lambda f: str(f / "/".join(["n" * 99] * 50)), "too long"),
    "a NUL character": Place(lambda f: f"{f}/o\0", "NUL"),
    "half a character": Place(lambda f: f"{f}/\ud800", "cannot encode"),
    "a file": Place(_file, "is a file"),
    "below a file": Place(lambda f: f"{_file(f)}/o", "is no folder"),
    "a folder with a file": Place(_full, "not a bundle's: thesis.txt"),
    "a folder with a folder": Place(_only_a_folder, "not a bundle's: photos"),
    "a FIFO": Place(_fifo, "is a FIFO"),
    "a character device": Place(_device, "is a character device", root=True),
    "a socket": Place(_socket, "is a socket"),
    "a link to nothing": Place(lambda f: _link(f, "nothing"), "does not exist: nothing"),
    "a link to itself": Place(lambda f: _link(f, "o"), "leads back to itself"),
    "below a loop": Place(_loop_above, "cannot be written"),
    "a link to a file": Place(lambda f: _link(f, Path(_file(f)).rename(f / "x").name), "a file"),
    "up from nothing": Place(lambda f: f"{f}/newdir/..", "does not exist"),
    "up from nothing, then down": Place(lambda f: f"{f}/newdir/../o", "does not exist"),
    "a closed folder": Place(_closed, "no permission to write", root=False),
    "the root": Place(lambda f: "/", "is the root"),
    "/proc": Place(lambda f: "/proc/o", "cannot be written"),
    "/sys": Place(lambda f: "/sys/o", "cannot be written"),
    "no such user": Place(lambda f: "~nobody_of_that_name/o", "no home directory"),
    "the current folder": Place(lambda f: ".", "the current folder"),
    "above the current folder": Place(lambda f: "..", "the current folder"),
    "a stranger's manifest": Place(lambda f: _stranger(f, _LISTS % _SHA), "not a bundle's"),
    "a manifest that is no object": Place(lambda f: _stranger(f, "[]"), "not a bundle's"),
    "a manifest that is deep": Place(lambda f: _stranger(f, "[" * 9999), "not a bundle's"),
    "something in the working folder": Place(_working, "no run's: thesis.txt"),
    "a link in its place": Place(_working_link, "no run's: .o.partial"),
}
