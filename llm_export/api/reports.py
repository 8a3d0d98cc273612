"""The page of a run or a sweep."""

from __future__ import annotations

from pathlib import Path

from llm_export.bundle.opened import opened, to_change
from llm_export.errors import BundleError
from llm_export.files import write_text
from llm_export.output.place import Named, file_to_write


def report(source: str | Path, *, html: str | Path | None = None) -> Path:
    """Write report.html of a bundle or a sweep anew, from what its files say.

    Args:
        source: a folder; with ``html`` a packed bundle too.
        html: another file for the page; nothing in the folder is changed then. Links to a sweep's
            variants start at the folder of this file.

    Returns:
        The page's path.

    Raises:
        BundleError: the folder is neither a bundle nor a sweep, or its manifest is not valid; or
            the page is to be written into a packed bundle.
        InputError: the page cannot be written, or would replace a file of someone else.
        MissingDependencyError: a run is replacing the bundle.
    """
    from llm_export.report import rewrite as bundles
    from llm_export.report.page.writing import writing
    from llm_export.sweep import rewrite as sweeps

    if html is None:
        folder = to_change(source)
        return sweeps.rewrite(folder) if sweeps.is_sweep(folder) else bundles.rewrite(folder)
    folder = opened(source)
    file = file_to_write(html, Named("the page", "--html "))
    if sweeps.is_sweep(folder):
        page = sweeps.page_of(folder, file.parent)
    else:
        page = bundles.page_of(folder)
    with writing(f"--html {html}", fix=None):
        write_text(file, page)
    return file


def report_markdown(source: str | Path) -> str:
    """report.md of a bundle, or sweep.md of a sweep, as the run wrote it.

    Raises:
        BundleError: there is none.
    """
    from llm_export.bundle.roles import ROLES
    from llm_export.sweep.rewrite import is_sweep
    from llm_export.sweep.state import TABLE

    folder = opened(source)
    file = folder / (TABLE if is_sweep(folder) else ROLES["report"])
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise BundleError(
            "there is no report in Markdown", where=str(file),
            fix="llm-export run writes one; llm-export report without --md makes the page",
        ) from None  # fmt: skip
