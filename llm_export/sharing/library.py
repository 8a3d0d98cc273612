"""Put a fetched recipe into the library, with its origin pinned."""

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
    """The folder that it gets: LIBRARY/AUTHOR/NAME."""
    return library / fetched.author / fetched.name


def former(fetched: Fetched, library: Path) -> dict[str, object] | None:
    """What origin.json says of the entry that would be replaced; None if there is none.

    Raises:
        InputError: the place is taken by what was not fetched, or was from somewhere else: a
            name that people run must not come to mean another's recipe.
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
    """Write the files and origin.json; the folder appears whole, in place of a former one.

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
