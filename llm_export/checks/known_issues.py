"""Known bugs of installed package versions that affect the recipe's backends."""

from __future__ import annotations

from packaging.requirements import Requirement

from llm_export.backends.known_issues import issues_here
from llm_export.errors import Problem
from llm_export.resolve.recipe import ResolvedRecipe


def version_findings(resolved: ResolvedRecipe) -> list[Problem]:
    """One problem per known bug. Packages that the backend's own requirements already refuse are
    skipped."""
    found = []
    for backend in resolved.backends:
        name, state = backend.name, backend.availability()
        for issue in issues_here(name):
            if not issue.of_versions:
                continue
            packages = [Requirement(text).name for text in issue.packages]
            said = state.fix == issue.fix or any(p in state.reason for p in packages)
            if not said:
                found.append(
                    Problem(
                        f"{issue.what} ({issue.link})",
                        f"backend={name}",
                        issue.fix,
                        environment=True,
                    )
                )
    return found
