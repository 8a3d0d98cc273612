"""Write files atomically, and read them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from runtime_py.bundle_files import sha256_of as sha256_of

MAX_TEXT = 256_000_000
"""Bytes of a text file; the largest tokenizer.json have 35 MB."""
_DIGITS = 40
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}  # fmt: skip
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder and rename it to ``path`` at the end. The name is
    new each time, so that of several writers each renames a file that it has written whole."""
    partial = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: under a temporary name in the same folder, then rename."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON. Numbers that are not finite become null: JSON has none, readers refuse them."""
    text = json.dumps(finite(value), indent=2, allow_nan=False, default=str)
    write_text(path, text + "\n")


def finite(value: Any) -> Any:
    """The same with null for every number that is not finite, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def bytes_of(text: str) -> int | None:
    """The bytes of a size such as 500MB, 4GB or 4GiB; None if it is no size."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d+)?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if match is None or match[2].upper() not in _UNITS:
        return None
    return int(float(match[1]) * _UNITS[match[2].upper()])


def require_file(path: Path, what: str) -> Path:
    if not path.is_file():
        raise CheckpointError(f"{what} is missing", where=str(path))
    if path.stat().st_size == 0:
        raise CheckpointError(f"{what} is empty", where=str(path), fix="fetch it again")
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        CheckpointError: the file holds no JSON object.
    """
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON object", where=str(path))
    return value


def read_text(path: Path) -> str:
    """The text of a file that somebody else wrote, in UTF-8.

    Raises:
        CheckpointError: it cannot be read, is not UTF-8, or has more than MAX_TEXT bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT + 1)
        if len(data) > MAX_TEXT:
            raise CheckpointError(f"larger than {MAX_TEXT // 10**6} MB", where=str(path))
        return data.decode("utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"not UTF-8: {error}", where=str(path)) from None


def parse_json(text: str, where: str) -> Any:
    """Parse JSON that somebody else wrote.

    Raises:
        CheckpointError: not JSON, nested too deeply, with a number of too many digits, or with a
            text that has no UTF-8: half of a surrogate pair.
    """
    try:
        value = json.loads(text, parse_int=_whole)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except RecursionError:
        raise CheckpointError("not valid JSON: nested too deeply", where=where) from None
    except ValueError as error:
        raise CheckpointError(f"not valid JSON: {error}", where=where) from None


def _whole(digits: str) -> int:
    # int(1e30) is how transformers writes that a length has no limit.
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def optional_json(path: Path) -> dict[str, Any]:
    """Like ``read_json``; empty if there is no such file."""
    return read_json(path) if path.is_file() else {}
