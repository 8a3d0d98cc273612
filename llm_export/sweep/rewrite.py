"""Write a sweep's report.html anew, from sweep.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_export.errors import InputError
from llm_export.files import write_text
from llm_export.json_data import from_json
from llm_export.report.page.writing import writing
from llm_export.sweep.launchers import shares_machine
from llm_export.sweep.page import sweep_page
from llm_export.sweep.state import PAGE, STATE, Results, Row


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (folder / STATE).is_file()


def page_of(folder: Path, place: Path | None = None) -> str:
    """The page of a sweep. Bundles that were moved with the sweep's folder are found in it.

    Args:
        place: folder of the page, from which links start; None is the sweep's.

    Raises:
        InputError: sweep.json cannot be read.
    """
    file = folder / STATE
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        rows = [_row(folder, each) for each in body["variants"]]
        launcher, state = str(body["launcher"]), str(body["state"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"the sweep's state cannot be read ({type(error).__name__}: {error})", where=str(file),
            fix="run the sweep again: it keeps what is finished",
        ) from None  # fmt: skip
    return sweep_page(folder, rows, place=place, state=state, together=shares_machine(launcher))


def rewrite(folder: Path) -> Path:
    """Write the page into the sweep's folder.

    Returns:
        Its path.

    Raises:
        InputError: sweep.json cannot be read, or the page not be written.
    """
    page, file = page_of(folder), folder / PAGE
    with writing(str(file)):
        write_text(file, page)
    return file


def _row(folder: Path, body: dict[str, Any]) -> Row:
    results = body.get("results")
    own = {key: value for key, value in body.items() if key != "results"}
    row: Row = from_json(Row, own)
    bundle = Path(row.bundle)
    if not bundle.is_dir():
        bundle = folder / bundle.name
    return replace(
        row, bundle=str(bundle), results=from_json(Results, results) if results else None
    )
