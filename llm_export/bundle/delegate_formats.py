"""Whether a release of ExecuTorch reads the delegates of a program, by the backend's name in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from llm_export.bundle.releases import Release, known_versions, release_of

if TYPE_CHECKING:
    from llm_export.compat.delegates import Delegate

Found = tuple[bool, str]
"""(whether it reads them, what was found)"""


def _xnnpack(release: Release, delegates: Sequence[Delegate]) -> Found:
    from llm_export.compat.delegates import xnnpack_parts

    formats = sorted({d.identifier for d in delegates})
    if not release.xnnpack_identifiers.issuperset(formats):
        known = ", ".join(sorted(release.xnnpack_identifiers))
        return False, f"of format {', '.join(formats)}, this release reads {known}"
    parts = [xnnpack_parts(d) for d in delegates]
    nodes = {n for part in parts for n in part.nodes}
    datatypes = {d for part in parts for d in part.datatypes}
    last, widest = len(release.xnnpack_nodes), len(release.xnnpack_datatypes)
    later = [f"operation {_name(n)}" for n in sorted(nodes) if n > last]
    later += [f"data type {d}" for d in sorted(datatypes) if d >= widest]
    if later:
        return False, f"use {', '.join(later)} of a later version"
    return True, f"{len(delegates)} of format {', '.join(formats)}, {len(nodes)} operations"


def _name(node: int) -> str:
    """As the newest known release calls it."""
    names = release_of(str(known_versions()[-1])).xnnpack_nodes
    return names[node - 1] if node <= len(names) else str(node)


FORMATS: Mapping[str, Callable[[Release, Sequence[Delegate]], Found]] = {"XnnpackBackend": _xnnpack}
"""Backends whose format is known."""
