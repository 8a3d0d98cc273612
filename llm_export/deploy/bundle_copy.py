"""A bundle as a part of a project: some of its files, under other names, with a manifest that says
so. ``runtime_py`` opens it as it opens the bundle."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime_py.bundle import MANIFEST, Bundle, check_manifest
from runtime_py.manifest import files_with_a_role

EVIDENCE = frozenset(
    ("profile_map", "etrecord", "quant_auto", "quant_sensitivity", "recipe", "lock", "parity",
     "benchmark", "evaluation", "profile", "answers", "report", "page")
)  # fmt: skip
"""Roles of files that say how a program was made and how good it is; no runtime reads them."""


@dataclass(frozen=True)
class BundleCopy:
    """
    Attributes:
        manifest: of the copy.
        copies: path in the copy -> file of the bundle.
    """

    manifest: dict[str, Any]
    copies: Mapping[str, Path]

    def files(self, folder: str = "") -> dict[str, str | bytes]:
        """The files to write; ``folder`` ends in ``/``."""
        return {folder + MANIFEST: json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n"}


def copy_of(
    bundle: Bundle, *, without: Collection[str] = (), renamed: Mapping[str, str] | None = None
) -> BundleCopy:
    """
    Args:
        without: roles to leave out, with their files where no other role has them.
        renamed: role -> another name of its file.

    Raises:
        BundleRuntimeError: what is left is no bundle.
    """
    manifest = copy.deepcopy(bundle.manifest)
    roles: dict[str, str] = manifest["roles"]
    former = files_with_a_role(bundle.manifest)
    for role in without:
        roles.pop(role, None)
    gone = former - files_with_a_role(manifest)
    names = {name: name for name in manifest["files"] if name not in gone}
    for role, name in (renamed or {}).items():
        names[roles[role]] = name
        roles[role] = name
    manifest["files"] = {new: manifest["files"][old] for old, new in names.items()}
    check_manifest(manifest, str(bundle.path))
    return BundleCopy(manifest, {new: bundle.path / old for old, new in names.items()})
