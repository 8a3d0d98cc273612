"""The commands that make the program again, and those that use it."""

from __future__ import annotations

import re
import shlex
from importlib import resources

from llm_export.report.page.evidence import Evidence
from llm_export.report.page.origin import shown_override

AGAIN = "llm-export run BUNDLE/recipe.yaml"
"""Makes what is missing in a bundle; overrides follow."""


def commands(found: Evidence) -> list[tuple[str, str]]:
    """(what it does, command), in the bundle's folder."""
    made = []
    overrides = [shown_override(o) for o in found.record.get("overrides") or []]
    words = " ".join(shlex.quote(each) for each in overrides)
    name = str(found.manifest.get("name") or "")
    if any(each.startswith("model=") for each in overrides):
        made.append(("as it was made", f"llm-export run {words}"))
    elif re.fullmatch(r"\w+", name) and _is_shipped(name):
        made.append(("as it was made", f"llm-export run {name} {words}".rstrip()))
    if "lock" in (found.manifest.get("roles") or {}):
        made.append(("the same program, bit by bit: its versions, checkpoint and seeds",
                     "llm-export run recipe.lock.yaml"))  # fmt: skip
    return [
        *made,
        ("the same recipe, with the versions that are installed", "llm-export run recipe.yaml"),
        ("check these files", "llm-export verify ."),
        ("talk to it", "llm-export chat ."),
        ("measure it on another machine", "llm-export bench ."),
        ("write this page anew", "llm-export report ."),
    ]


def _is_shipped(name: str) -> bool:
    return resources.files("llm_export.recipes").joinpath(f"{name}.yaml").is_file()
