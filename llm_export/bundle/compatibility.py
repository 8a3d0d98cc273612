"""Whether a released ExecuTorch runs a program: what it requires and holds, and what that has."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from llm_export.bundle.delegate_formats import FORMATS
from llm_export.bundle.manifest import Requirements
from llm_export.bundle.releases import Release

if TYPE_CHECKING:
    from llm_export.compat.delegates import Delegate

Row = tuple[str, bool, str]
"""(what, whether it holds, what was found), as ``verify.Check``."""


def runs_on(release: Release, requires: Requirements, program: Path | None) -> Iterator[Row]:
    """
    Args:
        program: None: its file is not what the manifest says, and is not read.
    """
    name = f"executorch {release.version}"
    made = requires.executorch[:40]
    yield name, True, f"the program was made with {made}{_newer(made, release)}"
    for backend in requires.backends:
        yield _backend(release, backend)
    yield from _operators(release, requires.operators)
    if program is not None:
        yield from _file(release, program)


def _newer(made: str, release: Release) -> str:
    """ExecuTorch's policy, which the other rows go beyond."""
    try:
        later = Version(made).release > release.version.release
    except InvalidVersion:
        return ""
    return "; ExecuTorch itself promises to run programs of earlier versions only" if later else ""


def _backend(release: Release, backend: str) -> Row:
    wheels = [w for w, some in release.backends.items() if backend in some and w != "sources"]
    found = f"is in the wheels for {' and '.join(wheels)}"
    if not wheels:
        found = "is in no wheel: to be built from the sources"
        if backend not in release.backends["sources"]:
            return f"backend {backend}", False, f"not in ExecuTorch {release.version}"
    return f"backend {backend}", True, found


def _operators(release: Release, operators: tuple[str, ...]) -> Iterator[Row]:
    everywhere = release.operators["linux"]
    elsewhere = {"macos": "in the wheel for macos alone", "sources": "to be built from the sources"}
    missing = [o for o in operators if o not in everywhere]
    for name in missing:
        where = next((w for w in elsewhere if name in release.operators[w]), None)
        said = "not in this release" if where is None else elsewhere[where]
        if where is None and (others := _overloads(release, name)):
            said += f", which has {', '.join(others)}"
        yield f"operator {name}", where is not None, said
    if not missing:
        yield "operators", True, f"all {len(operators)} are in this release"


def _overloads(release: Release, name: str) -> list[str]:
    base = name.split(".")[0]
    every = [o for some in release.operators.values() for o in some]
    return sorted(o for o in every if o.split(".")[0] == base)


def _file(release: Release, program: Path) -> Iterator[Row]:
    from llm_export.compat.delegates import program_fields, program_identifier, read_delegates

    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            identifier, fields = program_identifier(data), program_fields(data)
            delegates = read_delegates(data)
            rows = [_schema(release, identifier, fields), *_delegates(release, delegates)]
    except Exception as error:  # whatever reading a malformed flatbuffer raises
        rows = [
            (program.name, False, f"cannot be read: {type(error).__name__}: {str(error)[:100]}")
        ]
    yield from rows


def _schema(release: Release, identifier: str, fields: dict[str, int]) -> Row:
    what = "program schema"
    if identifier != release.identifier:
        return what, False, f"{identifier}, this release reads {release.identifier}"
    newer = [table for table, used in fields.items() if used > release.fields[table]]
    if newer:
        return what, False, f"{identifier}, with fields of {', '.join(newer)} of a later version"
    return what, True, f"{identifier}, with no field of a later version"


def _delegates(release: Release, delegates: list[Delegate]) -> Iterator[Row]:
    by_backend: dict[str, list[Delegate]] = {}
    for delegate in delegates:
        by_backend.setdefault(delegate.backend, []).append(delegate)
    for backend, some in by_backend.items():
        what, reads = f"delegates of {backend}", FORMATS.get(backend)
        if reads is not None:
            yield what, *reads(release, some)
        else:
            yield what, True, f"{len(some)}; whether this release reads their format is not known"
