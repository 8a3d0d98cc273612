"""Store a fetched recipe in the library, with its origin and revision."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from llm_export.config.library import ORIGIN
from llm_export.errors import InputError
from llm_export.files import write_json
from llm_export.pipeline.record import utc_now
from llm_export.sharing.examine import write_files
from llm_export.sharing.index import digest_of, entries_of
from llm_export.sharing.source import Fetched

FORMAT = 1


def place_of(fetched: Fetched, library: Path) -> Path:
    """Folder of a fetched recipe in the library: LIBRARY/AUTHOR/NAME."""
    return library / fetched.author / fetched.name


def former(fetched: Fetched, library: Path) -> dict[str, object] | None:
    """The content of origin.json of the entry to be replaced; None if there is none.

    Raises:
        InputError: the folder was not fetched, or was fetched from another source. A name must
            not silently change to another author's recipe.
    """
    place = place_of(fetched, library)
    if not place.exists():
        return None
    try:
        body = json.loads((place / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("digest"), str):
        if body.get("origin") == fetched.origin:
            return body
        raise InputError(
            f"the library has this name from somewhere else: {body.get('origin')}",
            where=str(place), fix="remove that folder first, or choose another --library DIR",
        )  # fmt: skip
    raise InputError(
        "the library's place is taken by something that was not fetched", where=str(place),
        fix="move it away, or choose another folder with --library DIR",
    )  # fmt: skip


def put(fetched: Fetched, library: Path) -> Path:
    """Write the files and origin.json atomically, replacing an existing entry.

    Raises:
        InputError: the library cannot be written.
    """
    place = place_of(fetched, library)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".get-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            write_files(made, fetched.files)
            write_json(made / ORIGIN, _origin(fetched))
            if former(fetched, library) is not None:
                os.rename(place, Path(scratch) / "former")
            os.rename(made, place)
    except OSError as error:
        raise InputError(
            f"the library cannot be written: {error.strerror or error}", where=str(library),
            fix="--library DIR",
        ) from None  # fmt: skip
    return place


def _origin(fetched: Fetched) -> dict[str, object]:
    return {
        "format": FORMAT,
        "origin": fetched.origin,
        "revision": fetched.revision,
        "digest": digest_of(fetched.files),
        "fetched": utc_now(),
        "files": entries_of(fetched.files),
    }
