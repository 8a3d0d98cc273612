"""Which files of a bundle may be published: none that tells of the machine that made it."""

from __future__ import annotations

import re
from pathlib import Path

from llm_export.deploy.bundle_copy import EVIDENCE
from llm_export.output.machine_paths import machine_path
from llm_export.report.page.assets import without_scripts
from runtime_py.bundle import Bundle

_WORKING = ("profile_map", "etrecord", "profile")
"""Roles that only tools on the machine of the export read."""
_MOST = 64_000_000
_GROUP = re.compile(r"(?m)^- (override )?/[a-z_]+/?[a-z_]*@[a-z_]+(: \w+)?$")
"""A line of a recipe's defaults list, whose groups look like paths."""


def private(bundle: Bundle) -> dict[str, str]:
    """Role -> why its file stays here: a path that it has of this machine, or ''."""
    found = {}
    for role in sorted(EVIDENCE):
        file = bundle.file(role)
        if file is None:
            continue
        if role in _WORKING or file.stat().st_size > _MOST:
            found[role] = ""
        elif (path := _machine_path(file)) is not None:
            found[role] = path
    return found


def public_source(checkpoint: str) -> str:
    """Where weights come from, without the folder on this machine."""
    found = machine_path(checkpoint)
    return checkpoint if found is None else Path(checkpoint.replace("\\", "/")).name


def _machine_path(file: Path) -> str | None:
    text = file.read_bytes().decode("utf-8", "replace")
    if file.suffix == ".html":
        text = without_scripts(text)
    return machine_path(_GROUP.sub("", text))
