"""Known faults of installed versions that concern the recipe's backends."""

from __future__ import annotations

from packaging.requirements import Requirement

from llm_export.backends import BACKENDS
from llm_export.backends.known_issues import issues_here
from llm_export.config.schema import Recipe


def version_findings(recipe: Recipe) -> list[tuple[str, str, str]]:
    """(what, key, fix) of each; not of a package that the backend's own needs refuse already."""
    found = []
    names = [n for n in (recipe.backend.name, *recipe.backend.then) if n in BACKENDS]
    for name in names:
        state = BACKENDS.get(name).availability()
        for issue in issues_here():
            if not issue.of_versions or name not in issue.backends:
                continue
            packages = [Requirement(text).name for text in issue.packages]
            said = state.fix == issue.fix or any(p in state.reason for p in packages)
            if not said:
                found.append((f"{issue.what} ({issue.link})", f"backend={name}", issue.fix))
    return found
