"""What measures an artifact in its own runtime.

A file of this folder with a ``RUNTIME`` is run by the interpreter that has the runtime's package,
which need not have llm_export or the Python of this process: the file imports the standard library
at its top, and its package where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Runtime(Protocol):
    """A class of a runtime. Its instances have ``prefill`` and ``decode``, or ``generated`` alone.

    Made with (path, threads, context): the number of threads, and of tokens that the caches must
    hold.

        prefill(ids, depth) -> seconds until the token after ``ids`` is known, with the first
            ``depth`` of them in the caches already
        decode(ids, count) -> seconds for ``count`` tokens after the first one that follows ``ids``;
            called right after ``prefill`` of the same list, whose caches it may go on from
        generated(ids, count) -> seconds until ``count`` tokens after ``ids`` are known, with empty
            caches: of a runtime that returns all tokens at once

    Attributes:
        package: what ``pip install`` takes.
        vocabulary: token ids; without it, ids are below 30,000.
        differences: whether ``prefill`` at a depth is the difference of two times; by ``generated``
            it always is.
    """

    package: str

    @staticmethod
    def accepts(path: Path) -> bool:
        """Whether this is how its artifacts look."""
        ...
