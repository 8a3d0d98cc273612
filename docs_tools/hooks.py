"""Hooks of mkdocs: generate the reference, and drop missing pages from nav."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference import PAGES


def on_config(config: Any) -> Any:
    """Drop entries whose file is missing from nav."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: Any) -> Files:
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def _present(entries: list[Any], docs: Path) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            if entry in PAGES or (docs / entry).is_file():
                kept.append(entry)
            continue
        ((title, inner),) = entry.items()
        if isinstance(inner, list):
            inner = _present(inner, docs)
        elif not (inner in PAGES or (docs / inner).is_file()):
            inner = None
        if inner:
            kept.append({title: inner})
    return kept
