"""Store a fetched recipe in the library, with its origin and revision."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from llm_export.config.library import ORIGIN
from llm_export.errors import InputError
from llm_export.files import write_json
from llm_export.output.place import Named, folder_to_write
from llm_export.output.seal import unlisted_part
from llm_export.output.working import put_in_place
from llm_export.pipeline.record import utc_now
from llm_export.sharing.examine import write_files
from llm_export.sharing.index import digest_of, entries_of
from llm_export.sharing.source import Fetched

FORMAT = 1
_LIBRARY = Named("the library's folder", "--library ")


def place_of(fetched: Fetched, library: Path) -> Path:
    """Folder of a fetched recipe in the library: LIBRARY/AUTHOR/NAME."""
    return library / fetched.author / fetched.name


def former(fetched: Fetched, library: Path) -> dict[str, object] | None:
    """The content of origin.json of the entry to be replaced; None if there is none.

    Raises:
        InputError: the folder was not fetched, or was fetched from another source. A name must
            not silently change to another author's recipe.
    """
    place = folder_to_write(place_of(fetched, library), _LIBRARY)
    return _former(fetched, place, shown=place) if place.exists() else None


def _former(fetched: Fetched, place: Path, *, shown: Path) -> dict[str, object]:
    try:
        body = json.loads((place / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and isinstance(body.get("digest"), str):
        if body.get("origin") == fetched.origin:
            _require_unchanged(place, body.get("files"), shown)
            return body
        raise InputError(
            f"the library has this name from somewhere else: {body.get('origin')}",
            where=str(shown), fix="remove that folder first, or choose another --library DIR",
        )  # fmt: skip
    raise InputError(
        "the library's place is taken by something that was not fetched", where=str(shown),
        fix="move it away, or choose another folder with --library DIR",
    )  # fmt: skip


def _require_unchanged(place: Path, files: object, shown: Path) -> None:
    """What the user has added or edited since must not be lost."""
    try:
        entries = dict(files).items()  # type: ignore[call-overload]
        listed = {name: (entry["bytes"], entry["sha256"]) for name, entry in entries}
    except (TypeError, ValueError, KeyError):
        return  # written by a former version
    found = unlisted_part(place, {ORIGIN: None, **listed}, "from there")
    if found is not None:
        raise InputError(
            f"the library's folder {found}", where=str(shown),
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
            put_in_place(made, place, _LIBRARY, lambda there: _former(fetched, there, shown=place))
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
