"""share.json: the number of its format, and size and digest of every file."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from typing import Any

from llm_export._version import __version__
from llm_export.config.library import INDEX, ORIGIN
from llm_export.errors import InputError
from llm_export.pipeline.record import utc_now
from llm_export.sharing.members import Files

FORMAT = 1
_FIX = "fetch it again; if that does not help, whoever shared it must pack it anew"


def make_index(name: str, recipe: str, files: Files) -> bytes:
    """The index of files, as bytes of share.json."""
    body = {
        "format": FORMAT,
        "name": name,
        "recipe": recipe,
        "created": utc_now(),
        "llm_export": __version__,
        "files": entries_of(files),
    }
    return (json.dumps(body, indent=2) + "\n").encode()


def entries_of(files: Files) -> dict[str, dict[str, Any]]:
    """Name -> bytes and sha256."""
    return {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    }


def digest_of(files: Files) -> str:
    """One sha256 for all names and contents."""
    said = json.dumps([(name, entry["sha256"]) for name, entry in entries_of(files).items()])
    return hashlib.sha256(said.encode()).hexdigest()


def listed(files: Files, where: str) -> tuple[Files, dict[str, Any] | None]:
    """(the files that share.json lists and itself, its body); all files and None without one.

    Raises:
        InputError: share.json is damaged, or a file is not as it says.
    """
    data = files.get(INDEX)
    if data is None:
        return {n: d for n, d in files.items() if n != ORIGIN}, None
    body = _parse(data, where)
    for name, entry in body["files"].items():
        if name not in files:
            raise InputError(f"share.json lists a file that is not there: {name[:120]!r}",
                             where=where, fix=_FIX)  # fmt: skip
        if entry != entries_of({name: files[name]})[name]:
            raise InputError(f"a file is not what share.json says: {name[:120]!r} has another "
                             "sha256", where=where, fix=_FIX)  # fmt: skip
    if body["recipe"] not in body["files"]:
        raise InputError("share.json does not list the recipe that it names", where=where, fix=_FIX)
    return {n: files[n] for n in (*body["files"], INDEX)}, body


def _parse(data: bytes, where: str) -> dict[str, Any]:
    import jsonschema

    try:
        body = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"share.json is not valid JSON: {str(error)[:120]}", where=where,
                         fix=_FIX) from None  # fmt: skip
    version = body.get("format") if isinstance(body, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise InputError(f"share.json has format {str(version)[:20]}; this program reads {FORMAT}",
                         where=where, fix="pip install -U llm_export")  # fmt: skip
    text = resources.files("llm_export.sharing").joinpath("index.schema.json").read_text("utf-8")
    errors = list(jsonschema.Draft202012Validator(json.loads(text)).iter_errors(body))
    if errors:
        key = ".".join(str(p) for p in errors[0].absolute_path)[:80] or "share.json"
        raise InputError(f"share.json is not valid: {key}: {errors[0].message[:200]}",
                         where=where, fix=_FIX)  # fmt: skip
    return dict(body)
