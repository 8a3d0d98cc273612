"""Check a bundle against its manifest, and its requirements against the installed ExecuTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from llm_export.bundle.manifest import FileEntry, Requirements
from llm_export.bundle.proof import Proof
from llm_export.config.library import LOCK
from llm_export.config.plain_yaml import read_plain
from llm_export.errors import BundleError, LlmExportError, MissingDependencyError
from llm_export.files import sha256_of
from llm_export.json_data import from_json
from llm_export.versions import package_versions
from runtime_py.bundle import FORMAT, MANIFEST, check_manifest
from runtime_py.errors import BundleRuntimeError

_MAX_MANIFEST = 64_000_000


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


def check_bundle(folder: Path) -> list[Check]:
    """Run all checks; with an invalid manifest, only the checks up to the manifest.

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
    checks += _roles(manifest)
    checks += _lock(folder)
    return checks + list(_requirements(from_json(Requirements, manifest["requires"])))


def _manifest(folder: Path) -> tuple[Mapping[str, Any] | None, str]:
    """(manifest, why it is not valid)."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            "this is not a bundle: it has no manifest.json"
            if folder.exists() else "there is no such bundle", where=str(folder),
            fix="llm-export run RECIPE makes one",
        )  # fmt: skip
    try:
        if path.stat().st_size > _MAX_MANIFEST:
            return None, f"larger than {_MAX_MANIFEST // 1_000_000} MB"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest.get("format") if isinstance(manifest, dict) else None
        if isinstance(version, int) and version > FORMAT:
            return None, f"format {str(version)[:20]}; this program reads {FORMAT}"
        check_manifest(manifest, str(path))
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        return None, f"not valid JSON: {str(error)[:120]}"
    except BundleRuntimeError as error:
        return None, error.what[:300]
    return manifest, ""


def _file(folder: Path, name: str, entry: FileEntry) -> Check:
    plain = Path(name)
    if plain.is_absolute() or ".." in plain.parts or "\0" in name:
        return Check(name, False, "leads out of the bundle")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return Check(name, False, "is a link that leads out of the bundle")
    if not path.is_file():
        return Check(name, False, "is missing")
    size = path.stat().st_size
    if size != entry.bytes:
        return Check(name, False, f"has {size:,} bytes; the manifest says {entry.bytes:,}")
    digest = sha256_of(path)
    if digest != entry.sha256:
        return Check(name, False, f"has sha256 {digest[:12]}, not {entry.sha256[:12]}")
    return Check(name, True, f"sha256 {digest[:12]}, {size:,} bytes")


def _roles(manifest: Mapping[str, Any]) -> list[Check]:
    adapters = manifest.get("adapters", {})
    named = {*manifest["roles"].values(), *adapters.values()}
    unlisted = sorted(named - set(manifest["files"]))
    if unlisted:
        return [Check("roles", False, f"a role names a file that is not listed: {unlisted[0]}")]
    if adapters and manifest["default_adapter"] not in adapters:
        return [Check("roles", False, "no file for the default adapter")]
    return [Check("roles", True, f"{len(manifest['roles'])} named")]


def _lock(folder: Path) -> list[Check]:
    """The lock's digests are those of the program that lies here."""
    if not (folder / LOCK).is_file():
        return []
    try:
        files = read_plain(folder / LOCK).get("files")
    except LlmExportError as error:
        return [Check("lock", False, error.what)]
    if not isinstance(files, dict):
        return [Check("lock", False, "lists no files")]
    for name, digest in files.items():
        path = folder / str(name)
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file() or sha256_of(path) != digest:
            return [Check("lock", False, f"{name} is not the one that it was written for")]
    return [Check("lock", True, f"is of {', '.join(map(str, files))}")]


def _requirements(requires: Requirements) -> Iterator[Check]:
    here = package_versions().get("executorch")
    if here is None:
        raise MissingDependencyError("ExecuTorch is not installed", fix="pip install executorch")
    yield Check("executorch", *_runs(requires.executorch, here))
    from runtime_py.native_log import captured_native_log
    from runtime_py.program import load_operators

    with captured_native_log():
        from executorch.runtime import Runtime

        load_operators()
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
