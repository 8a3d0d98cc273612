"""Small JSON files of the cache that save work: read if they are as they were written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from llm_export.files import write_json
from llm_export.stage_cache.regular import text_of

_CONTENT, _SHA256 = "content", "sha256"


class Memo:
    """A dictionary in a file, with the sha256 of its content.

    Args:
        path: None keeps nothing.

    Attributes:
        damage: what is wrong with the file, one clause; empty if nothing is. It is written anew.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.damage = ""

    def read(self) -> dict[str, Any]:
        """The content; empty if there is no such file, or if it is damaged. Whoever meets damage
        writes the file anew."""
        if self.path is None:
            return {}
        try:
            body = json.loads(text_of(self.path))
            content = body[_CONTENT]
            if body[_SHA256] != _digest(content):
                raise ValueError("another sha256")
            return dict(content)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.damage = f"{self.path.name} cannot be read: {error.strerror}"
        except (ValueError, KeyError, TypeError, RecursionError):
            self.damage = f"{self.path.name} is damaged, or of another version"
        return {}

    def write(self, content: dict[str, Any]) -> None:
        """Replace the file; one that cannot be written is left alone."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir() and not self.path.is_symlink():
                shutil.rmtree(self.path)
            write_json(self.path, {_SHA256: _digest(content), _CONTENT: content})


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
