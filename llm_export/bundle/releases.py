"""What released versions of ExecuTorch run: one file for each in ``data/executorch``, which
``docs_tools/executorch_release.py`` reads from their wheels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from packaging.version import InvalidVersion, Version

from llm_export.errors import InputError


@dataclass(frozen=True)
class Release:
    """
    Attributes:
        identifier: of program files.
        fields: table of the program's flatbuffer -> number of its fields.
        xnnpack_identifiers, xnnpack_nodes, xnnpack_datatypes: of XNNPACK's delegates; names in the
            order of their numbers, nodes from 1 and datatypes from 0.
        backends: platform -> those that its wheel has compiled; ``sources``: those that the release
            lowers for.
        operators: platform -> as ``backends``; each only what those before have not.
    """

    version: Version
    identifier: str
    fields: Mapping[str, int]
    xnnpack_identifiers: frozenset[str]
    xnnpack_nodes: tuple[str, ...]
    xnnpack_datatypes: tuple[str, ...]
    backends: Mapping[str, frozenset[str]]
    operators: Mapping[str, frozenset[str]]


def known_versions() -> list[Version]:
    """In ascending order."""
    folder = files("llm_export.data").joinpath("executorch")
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".json")]
    return sorted(Version(name.removesuffix(".json")) for name in names)


def release_of(version: str) -> Release:
    """The newest known release of which ``version`` is all or the beginning: 1.4 is 1.4.1.

    Raises:
        InputError: nothing is known of it; the nearest known ones are named.
    """
    known = known_versions()
    try:
        wanted = Version(version)
    except InvalidVersion:
        raise InputError(
            f"'{version[:40]}' is no version of ExecuTorch", where="--executorch",
            fix=f"one of {', '.join(map(str, known))}",
        ) from None  # fmt: skip
    parts = wanted.release
    found = [v for v in known if v == wanted or v.release[: len(parts)] == parts]
    if not found or wanted.is_prerelease:
        below, above = [v for v in known if v < wanted], [v for v in known if v > wanted]
        nearest = " and ".join(str(v) for v in (*below[-1:], *above[:1]))
        raise InputError(
            f"nothing is known of what ExecuTorch {wanted} runs; the nearest known: {nearest}",
            where="--executorch",
            fix=f"one of {', '.join(map(str, known))}; or add it: python "
            f"docs_tools/executorch_release.py {wanted}",
        )
    return _read(found[-1])


def _read(version: Version) -> Release:
    folder = files("llm_export.data").joinpath("executorch")
    body = json.loads(folder.joinpath(f"{version}.json").read_text(encoding="utf-8"))
    names = {
        "linux": body["operators"], "macos": body["operators_macos"],
        "sources": body["operators_sources"],
    }  # fmt: skip
    return Release(
        version,
        body["program"]["identifier"],
        body["program"]["fields"],
        frozenset(body["XnnpackBackend"]["identifiers"]),
        tuple(body["XnnpackBackend"]["nodes"]),
        tuple(body["XnnpackBackend"]["datatypes"]),
        {where: frozenset(some) for where, some in body["backends"].items()},
        {where: frozenset(some) for where, some in names.items()},
    )
