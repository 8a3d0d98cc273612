"""Which files of a bundle may be published: none that tells of the machine that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.deploy.bundle_copy import EVIDENCE
from llm_export.output.machine_paths import machine_path
from llm_export.report.page.assets import without_scripts
from runtime_py.bundle import Bundle

_WORKING = ("etrecord", "profile")
"""Roles that only tools on the machine of the export read."""
_MOST = 64_000_000
_OF_THE_MODEL = ("tokenizer", "chat", "adapter_tokenizers", "roles", "files", "adapters")
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


def public_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest that says nothing of this machine: of its paths the last part, of its names none.
    Texts of the model, and names of files, are what they are."""
    return {
        key: value if key in _OF_THE_MODEL else _public(value) for key, value in manifest.items()
    }


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return public_text(value) if isinstance(value, str) else value


def public_text(text: str) -> str:
    """A text with the last part of each path, and without names of this machine."""
    while (found := machine_path(text)) is not None:
        if "/" in found:
            text = text.replace(found, found.rstrip("/").rpartition("/")[2])
        elif "\\" in found:
            text = text.rpartition("\\")[2]
        else:
            text = text.replace(found, "-")
    return text


def _machine_path(file: Path) -> str | None:
    text = file.read_bytes().decode("utf-8", "replace")
    if file.suffix == ".html":
        text = without_scripts(text)
    return machine_path(_GROUP.sub("", text))
