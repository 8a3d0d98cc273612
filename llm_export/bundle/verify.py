"""Check a bundle against its manifest, and its requirements against the installed ExecuTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from llm_export.bundle.compatibility import runs_on
from llm_export.bundle.manifest import FileEntry, Requirements
from llm_export.bundle.proof import Proof
from llm_export.bundle.releases import Release
from llm_export.bundle.roles import ROLES
from llm_export.config.library import LOCK
from llm_export.config.plain_yaml import read_plain
from llm_export.errors import BundleError, LlmExportError, MissingDependencyError
from llm_export.files import sha256_of
from llm_export.json_data import from_json, to_json
from llm_export.versions import package_versions
from runtime_py.bundle import MANIFEST
from runtime_py.bundle_files import check_file
from runtime_py.errors import BundleRuntimeError
from runtime_py.manifest import read_manifest
from runtime_py.probe import Attempt, probed


@dataclass(frozen=True)
class Check:
    """One line: what was checked, whether it holds, and what was found."""

    what: str
    good: bool
    found: str


def proof_of(folder: Path) -> Proof:
    """The verdict when the bundle was made, without the comparisons behind it, whose metrics vary
    from version to version. It is of the files that the manifest lists: of a bundle that fails
    ``check_bundle`` it says nothing.

    Raises:
        BundleError: there is no manifest, or it is not valid.
    """
    manifest, problem = _manifest(folder)
    if manifest is None:
        raise BundleError(problem, where=str(folder / MANIFEST), fix="llm-export run RECIPE again")
    said = {k: v for k, v in manifest["proof"].items() if k not in ("comparisons", "source")}
    return from_json(Proof, said)


def check_bundle(
    folder: Path,
    probe: Callable[[Path], list[Attempt]] = probed,
    release: Release | None = None,
) -> list[Check]:
    """Run all checks; with an invalid manifest, only the checks up to the manifest. If all others
    hold, the bundle is loaded in another process, and generates one token.

    Args:
        probe: loads the bundle.
        release: compare with this ExecuTorch, instead of the installed one, and load nothing.

    Raises:
        BundleError: there is no manifest.
        MissingDependencyError: ExecuTorch is not installed.
    """
    manifest, problem = _manifest(folder)
    if manifest is None:
        return [Check(MANIFEST, False, problem)]
    checks = [Check(MANIFEST, True, f"format {manifest['format']}")]
    files = {name: from_json(FileEntry, entry) for name, entry in manifest["files"].items()}
    checks += [_file(folder, name, entry) for name, entry in files.items()]
    checks += _lock(folder, manifest["roles"])
    requires = from_json(Requirements, manifest["requires"])
    if release is not None:
        whole = all(check.good for check in checks)
        program = folder / manifest["roles"]["program"] if whole else None
        return checks + [Check(*row) for row in runs_on(release, requires, program)]
    checks += _requirements(requires)
    if all(check.good for check in checks):
        checks += [Check(*attempt) for attempt in probe(folder)]
    return checks


def _manifest(folder: Path) -> tuple[Mapping[str, Any] | None, str]:
    """(manifest, why it is not valid)."""
    try:
        return read_manifest(folder), ""
    except BundleRuntimeError as error:
        if error.where == str(folder):  # there is none
            raise BundleError(error.what, where=error.where, fix=error.fix) from None
        return None, error.what[:300]


def _file(folder: Path, name: str, entry: FileEntry) -> Check:
    try:
        check_file(folder, name, to_json(entry), verify_hash=True)
    except BundleRuntimeError as error:
        return Check(name, False, error.what)
    return Check(name, True, f"sha256 {entry.sha256[:12]}, {entry.bytes:,} bytes")


def _lock(folder: Path, roles: Mapping[str, str]) -> list[Check]:
    """The lock's digests are those of the program that lies here, under whatever name."""
    if not (folder / LOCK).is_file():
        return []
    try:
        files = read_plain(folder / LOCK).get("files")
    except LlmExportError as error:
        return [Check("lock", False, error.what)]
    if not isinstance(files, dict):
        return [Check("lock", False, "lists no files")]
    named = {ROLES[role]: name for role, name in roles.items() if role in ROLES}
    for name, digest in files.items():
        path = folder / named.get(str(name), str(name))
        if not _is(path, folder, digest):
            return [Check("lock", False, f"{name} is not the one that it was written for")]
    return [Check("lock", True, f"is of {', '.join(map(str, files))}")]


def _is(path: Path, folder: Path, digest: object) -> bool:
    try:
        inside = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
        return inside and path.is_file() and sha256_of(path) == digest
    except (OSError, ValueError):  # a link loop, or a name that no file can have
        return False


def _requirements(requires: Requirements) -> Iterator[Check]:
    here = package_versions().get("executorch")
    if here is None:
        raise MissingDependencyError("ExecuTorch is not installed", fix="pip install executorch")
    yield Check("executorch", *_runs(requires.executorch, here))
    from runtime_py.native_log import captured_native_log
    from runtime_py.program_file import load_operators

    with captured_native_log():
        load_operators()
        from executorch.runtime import Runtime

        runtime = Runtime.get()
        backends = set(runtime.backend_registry.registered_backend_names)
        operators = set(runtime.operator_registry.operator_names)
    for name in requires.backends:
        good = name in backends
        known = f"not in this runtime, which has {', '.join(sorted(backends))}"
        yield Check(f"backend {name}", good, "is in this runtime" if good else known)
    missing = [o for o in requires.operators if o not in operators]
    for name in missing:
        yield Check(f"operator {name}", False, "not in this runtime")
    if not missing:
        yield Check("operators", True, f"all {len(requires.operators)} are in this runtime")


def _runs(made: str, here: str) -> tuple[bool, str]:
    """A program runs on the same major version and the same or a newer minor version."""
    try:
        then, now = Version(made), Version(here)
    except InvalidVersion:
        return False, f"'{made[:40]}' is no version"
    good = then.major == now.major and (now.major, now.minor) >= (then.major, then.minor)
    text = f"made with {made}, {here} is installed"
    return good, text if good else f"{text}: pip install executorch=={then.public}"
