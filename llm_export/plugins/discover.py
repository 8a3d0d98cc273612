"""Find plugins: entry points of installed distributions, and folders."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_export.home import expanded
from llm_export.plugins.declare import Plugin, fault_of

GROUP = "llm_export.plugins"
CODE = "plugin.py"
"""File of a folder that holds a ``PLUGIN``."""
TRUST = "LLM_EXPORT_TRUST"
"""Environment variable that lists trusted plugin folders, in the format of PATH."""


@dataclass(frozen=True)
class Provider:
    """One plugin, sound or not.

    Attributes:
        name: of the entry point, or of the folder.
        origin: distribution and version, or the folder.
        plugin: None if it is broken, or a folder without code.
        error: why it is broken; empty if it is not.
        distribution, version: of an installed one.
        folder: of one that is a folder.
    """

    name: str
    origin: str
    plugin: Plugin | None = None
    error: str = ""
    distribution: str = ""
    version: str = ""
    folder: Path | None = None


def default_folder() -> Path | None:
    """``llm_export`` in the user's folder of settings (XDG); None if there is none."""
    base = expanded(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    if base.parts[0].startswith("~"):  # nobody's home
        return None
    folder = base / "llm_export"
    return folder.resolve() if folder.is_dir() else None


def installed() -> Iterator[Provider]:
    """Plugins of installed distributions, sorted by distribution name."""
    found = importlib.metadata.entry_points(group=GROUP)
    for entry in sorted(found, key=lambda e: (e.dist.name if e.dist else "", e.name)):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        plugin, error = _taken(entry.load)
        yield Provider(entry.name, f"{name} {version}".strip(), plugin, error, name, version)


def of_folder(folder: Path, *, own: bool) -> Provider:
    """A folder of options and recipes, with the code that may be in it.

    Args:
        own: whether it is the user's own folder, so that its code may run.
    """
    code = folder / CODE
    if not code.is_file():
        return Provider(folder.name, str(folder), folder=folder)
    if not own and folder not in _trusted():
        error = f"its {CODE} is code and was not run: {TRUST}={folder} allows it"
        return Provider(folder.name, str(folder), error=error, folder=folder)
    plugin, error = _taken(lambda: _run(code))
    return Provider(folder.name, str(folder), plugin, error, folder=folder)


def _trusted() -> set[Path]:
    words = os.environ.get(TRUST, "").split(os.pathsep)
    return {expanded(word).resolve() for word in words if word}


def _taken(load: Callable[[], object]) -> tuple[Plugin | None, str]:
    """(plugin, "") or (None, what is wrong)."""
    try:
        value = load()
    except (Exception, SystemExit) as error:
        said = str(error).strip().splitlines()
        return None, f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
    fault = fault_of(value)
    return (None, fault) if fault else (value, "")  # type: ignore[return-value]


def _run(code: Path) -> object:
    """``PLUGIN`` of a file. Modules beside it can be imported, those of others first."""
    folder = str(code.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    name = f"llm_export_folder_{hashlib.sha256(folder.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, code)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.PLUGIN
