"""Digests of the input files of a recipe, memoized so that large files are read only once."""

from __future__ import annotations

import os
import time
from pathlib import Path

from llm_export.files import sha256_of
from llm_export.stage_cache.memo import Memo

_SETTINGS = frozenset({".json", ".model", ".jinja", ".tiktoken", ".txt", ".yaml"})
_ALONE = frozenset({".gguf"})
"""Formats whose files have all in them."""
_SETTLED = 2.0
"""Seconds after which a file that is written to again has another time of change."""


class Digests:
    """sha256 of files. A file with unchanged size, modification time and inode is not read again.

    Args:
        memo: file that stores the digests; None stores nothing.
    """

    def __init__(self, memo: Path | None) -> None:
        self._memo = Memo(memo)
        self._known: dict[str, list[int | str]] = self._memo.read()
        self._changed = False

    @property
    def damage(self) -> str:
        """What was wrong with the memo, which is written anew; empty if nothing was."""
        return self._memo.damage

    def of(self, path: Path) -> str:
        """Raises OSError if the file cannot be read."""
        path = path.resolve()
        facts = path.stat()
        mark = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
        former = self._known.get(str(path))
        if former is not None and former[:3] == mark:
            return str(former[3])
        found = sha256_of(path)
        if time.time() - facts.st_mtime > _SETTLED:
            self._known[str(path)] = [*mark, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Write the digests to ``memo``; those that another run writes concurrently may be lost."""
        if self._changed or self._memo.damage:
            known = {**self._memo.read(), **self._known}
            self._memo.write({p: f for p, f in known.items() if os.path.exists(p)})


def checkpoint_files(path: Path) -> list[Path]:
    """All files that a checkpoint reader may open: a file and its siblings, or a folder's files."""
    if path.is_dir():
        return files_below(path)
    if path.suffix in _ALONE:
        return [path]
    wanted = _SETTINGS | {path.suffix}
    if path.name.endswith(".index.json"):
        wanted |= {".safetensors", ".bin"}
    return [p for p in sorted(path.parent.iterdir()) if p.is_file() and p.suffix in wanted]


def files_below(folder: Path) -> list[Path]:
    """Every file in a folder, those under hidden names left out.

    Of a hub's cache entry the files are links in ``snapshots``, which are followed.
    """
    return [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not any(s.startswith(".") for s in p.relative_to(folder).parts)
    ]
