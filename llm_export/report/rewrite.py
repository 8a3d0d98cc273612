"""Write a bundle's report.html anew, from what its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import entry_of
from llm_export.config.compose import Composer
from llm_export.config.schema import Recipe
from llm_export.errors import InputError, LlmExportError, bundle_errors
from llm_export.files import write_json, write_text
from llm_export.json_data import to_json
from llm_export.output.place import Named
from llm_export.output.seal import foreign_part, is_sealed, write_seal
from llm_export.output.undone import undone_on_failure
from llm_export.output.working import one_writer
from llm_export.report.page.evidence import Evidence, read_evidence
from llm_export.report.page.run import run_page
from llm_export.report.page.writing import writing
from llm_export.resolve.recipe import resolve
from runtime_py.bundle import MANIFEST, check_manifest
from runtime_py.manifest import read_manifest


def page_of(bundle: Path) -> str:
    """The page of a bundle, whatever version made it.

    Raises:
        BundleError: there is no manifest, or it is not valid.
    """
    return run_page(_evidence(bundle))


def rewrite(bundle: Path) -> Path:
    """Write the page into the bundle, and its size and digest into the manifest.

    Returns:
        Its path.

    Raises:
        BundleError: there is no manifest, or it is not valid. InputError: the bundle cannot be
            written. MissingDependencyError: a run is replacing it.
    """
    page = page_of(bundle)
    file = bundle / ROLES["page"]
    with one_writer(bundle.resolve(), Named("the bundle")):
        sealed = is_sealed(bundle) and foreign_part(bundle) is None
        with writing(str(file)):
            _write(bundle, file, page)
        if sealed:
            write_seal(bundle)
    return file


def _write(bundle: Path, file: Path, page: str) -> None:
    with undone_on_failure(bundle):
        manifest = _manifest(bundle)
        _require_ours(file, manifest)
        write_text(file, page)
        manifest["roles"]["page"] = file.name
        manifest["files"][file.name] = to_json(entry_of(file))
        check_manifest(manifest, str(bundle / MANIFEST))
        write_json(bundle / MANIFEST, manifest)


def _require_ours(file: Path, manifest: dict[str, Any]) -> None:
    """Raises InputError: the bundle's folder has a file of this name that is not the bundle's."""
    listed = manifest["files"].get(file.name)
    if file.exists() and (listed is None or listed != to_json(entry_of(file))):
        raise InputError(
            f"the bundle's folder holds a {file.name} that is not as llm_export wrote it",
            where=str(file), fix="move it away, or write the page elsewhere with --html FILE",
        )  # fmt: skip


def _evidence(bundle: Path) -> Evidence:
    return read_evidence(bundle, _manifest(bundle), _recipe(bundle))


def _manifest(bundle: Path) -> dict[str, Any]:
    with bundle_errors():
        return read_manifest(bundle)


def _recipe(bundle: Path) -> Recipe | None:
    """None where this version cannot read it, or lacks what it names."""
    try:
        return resolve(Composer(str(bundle / ROLES["recipe"])).compose().recipe).recipe
    except LlmExportError:
        return None
