"""Find data that identifies this machine: absolute paths, user and host names."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
import sys
import tempfile
from pathlib import Path

_PATH = re.compile(r"(?<![\w.:/<~-])(?:/[\w.@+-]+(?:/[\w.@+-]+)+|~\w*/[\w./@+-]+)|\b[A-Za-z]:\\\w")
_COMMON = frozenset({"root", "user", "localhost", "ubuntu", "runner", "admin", "local"})
"""Names that say nothing, and are words of their own."""


def machine_path(text: str) -> str | None:
    """The first absolute path, or other thing of this machine, in a text; None is good."""
    found = _PATH.search(text)
    if found:
        return found[0]
    return next((word for word in _own_words() if word in text), None)


def _own_words() -> list[str]:
    places = [os.path.expanduser("~"), str(Path.cwd()), sys.prefix, tempfile.gettempdir()]
    words = [place for place in places if len(place) > 1]
    names = [socket.gethostname()]
    with contextlib.suppress(OSError, KeyError):  # a container may have no such user
        names.append(getpass.getuser())
    return words + [name for name in names if len(name) > 3 and name not in _COMMON]
