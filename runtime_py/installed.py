"""Two distributions hold this package: llm_export and, for environments without it,
llm_export_runtime. With both of one version the files are the same."""

from __future__ import annotations

import os
import re

_FOLDER = re.compile(r"(llm_export|llm_export_runtime)-([^-]+)\.dist-info")


def conflict(folder: str) -> str | None:
    """A warning if both are installed in this folder, in different versions: then the files are of
    the one that was installed last."""
    try:
        matches = filter(None, map(_FOLDER.fullmatch, os.listdir(folder)))
        found = {match[1]: match[2] for match in matches}
    except OSError:  # a zip archive
        return None
    if len(set(found.values())) < 2:
        return None
    both = " and ".join(f"{name} {version}" for name, version in sorted(found.items()))
    return (
        f"{both} both hold the package runtime_py, in different versions\n"
        "  fix:   pip uninstall llm_export_runtime, then pip install --force-reinstall --no-deps "
        "llm_export, which has the runtime in it"
    )
