"""Two distributions hold this package: llm_export and, for environments without it,
llm_export_runtime. With both of one version the files are the same."""

from __future__ import annotations

import json
import os
import re

_FOLDER = re.compile(r"(llm_export|llm_export_runtime)-([^-]+)\.dist-info")


def conflict(folder: str) -> str | None:
    """A warning if both are installed in this folder, in different versions: then the files are of
    the one that was installed last. Also if llm_export is installed as editable: then its files are
    somewhere else, and are not used."""
    try:
        matches = filter(None, map(_FOLDER.fullmatch, os.listdir(folder)))
        found = {match[1]: match[2] for match in matches}
    except OSError:  # a zip archive
        return None
    if len(found) < 2:
        return None
    both = " and ".join(f"{name} {version}" for name, version in sorted(found.items()))
    if _editable(folder, f"llm_export-{found['llm_export']}.dist-info"):
        return (
            f"{both} both hold the package runtime_py: this is the one of llm_export_runtime, and "
            "not that of llm_export's working tree, which is installed as editable\n"
            "  fix:   pip uninstall llm_export_runtime"
        )
    if len(set(found.values())) < 2:
        return None
    return (
        f"{both} both hold the package runtime_py, in different versions\n"
        "  fix:   pip uninstall llm_export_runtime, then pip install --force-reinstall --no-deps "
        "llm_export, which has the runtime in it"
    )


def _editable(*folder: str) -> bool:
    """Whether a distribution is a link to a working tree, by PEP 610."""
    try:
        with open(os.path.join(*folder, "direct_url.json"), encoding="utf-8") as file:
            return json.load(file)["dir_info"]["editable"] is True
    except (OSError, ValueError, LookupError, TypeError):
        return False
